"""The problems as Julia code, by the keys of `_problems`. Networks are not among them: there f is a torch module."""

SOURCES = {
    "lorenz": """
        function lorenz(du, u, p, t)
            x, y, z = u
            sigma, rho, beta = p
            du[1] = sigma * (y - x)
            du[2] = x * (rho - z) - y
            du[3] = x * y - beta * z
        end""",
    "lotka_volterra": """
        function lotka_volterra(du, u, p, t)
            x, y = u
            a, b, c = p
            du[1] = a * x - b * x * y
            du[2] = -c * y + x * y
        end""",
    "robertson": """
        function robertson(du, u, p, t)
            slow, fast, back = p[1] * u[1], p[2] * u[2] * u[2], p[3] * u[2] * u[3]
            du[1] = back - slow
            du[2] = slow - fast - back
            du[3] = fast
        end""",
    "hires": """
        function hires(du, u, p, t)
            y1, y2, y3, y4, y5, y6, y7, y8 = u
            bound = p[1] * y6 * y8
            du[1] = -1.71 * y1 + 0.43 * y2 + 8.32 * y3 + 0.0007
            du[2] = 1.71 * y1 - 8.75 * y2
            du[3] = -10.03 * y3 + 0.43 * y4 + 0.035 * y5
            du[4] = 8.32 * y2 + 1.71 * y3 - 1.12 * y4
            du[5] = -1.745 * y5 + 0.43 * y6 + 0.43 * y7
            du[6] = -bound + 0.69 * y4 + 1.71 * y5 - 0.43 * y6 + 0.69 * y7
            du[7] = bound - 1.81 * y7
            du[8] = -bound + 1.81 * y7
        end""",
    "van_der_pol": """
        function van_der_pol(du, u, p, t)
            y, x = u
            du[1] = p[1] * ((1 - x * x) * y - x)
            du[2] = y
        end""",
    "pollution": """
        function pollution(du, u, k, t)
            y1, y2, y3, y4, y5, y6, y7, _, y9, y10, y11, _, y13, y14, _, y16, y17, _, y19, y20 = u
            r1, r2, r3, r4, r5 = k[1] * y1, k[2] * y2 * y4, k[3] * y5 * y2, k[4] * y7, k[5] * y7
            r6, r7, r8, r9, r10 = k[6] * y7 * y6, k[7] * y9, k[8] * y9 * y6, k[9] * y11 * y2, k[10] * y11 * y1
            r11, r12, r13, r14, r15 = k[11] * y13, k[12] * y10 * y2, k[13] * y14, k[14] * y1 * y6, k[15] * y3
            r16, r17, r18, r19, r20 = k[16] * y4, k[17] * y4, k[18] * y16, k[19] * y16, k[20] * y17 * y6
            r21, r22, r23, r24, r25 = k[21] * y19, k[22] * y19, k[23] * y1 * y4, k[24] * y19 * y1, k[25] * y20
            du[1] = -r1 - r10 - r14 - r23 - r24 + r2 + r3 + r9 + r11 + r12 + r22 + r25
            du[2] = -r2 - r3 - r9 - r12 + r1 + r21
            du[3] = -r15 + r1 + r17 + r19 + r22
            du[4] = -r2 - r16 - r17 - r23 + r15
            du[5] = -r3 + 2 * r4 + r6 + r7 + r13 + r20
            du[6] = -r6 - r8 - r14 - r20 + r3 + 2 * r18
            du[7] = -r4 - r5 - r6 + r13
            du[8] = r4 + r5 + r6 + r7
            du[9] = -r7 - r8
            du[10] = -r12 + r7 + r9
            du[11] = -r9 - r10 + r8 + r11
            du[12] = r9
            du[13] = -r11 + r10
            du[14] = -r13 + r12
            du[15] = r14
            du[16] = -r18 - r19 + r16
            du[17] = -r20
            du[18] = r20
            du[19] = -r21 - r22 - r24 + r23 + r25
            du[20] = -r25 + r24
        end""",
    # Julia's arrays have the reversed shape: u[j, i, s] here is u[s, i, j] there
    "brusselator": """
        function brusselator(du, u, p, t)
            n = size(u, 1)
            A, B, alpha_x, alpha_y = (reshape(view(p, (k - 1) * n * n + 1:k * n * n), n, n) for k in 1:4)
            for i in 1:n, j in 1:n
                above, below = mod1(i - 1, n), mod1(i + 1, n)
                left, right = mod1(j - 1, n), mod1(j + 1, n)
                laplacian(s) = (n - 1)^2 *
                    (u[j, above, s] + u[j, below, s] + u[left, i, s] + u[right, i, s] - 4 * u[j, i, s])
                x, y = u[j, i, 1], u[j, i, 2]
                reaction = x * x * y
                du[j, i, 1] = alpha_x[j, i] * laplacian(1) + B[j, i] + reaction - (A[j, i] + 1) * x
                du[j, i, 2] = alpha_y[j, i] * laplacian(2) + A[j, i] * x - reaction
            end
        end""",
}
