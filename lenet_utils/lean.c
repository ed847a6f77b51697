/* Many steps of LeNet-5 without Python in between: the same arithmetic as lean.py, compiled on the reader's machine.
 *
 * theta and rate are laid out as flat.py's SHAPES say.  Where lean.py keeps gradients, each weight here moves as soon
 * as its gradient is known and its old value was used.  A vec is as many floats as one register of the processor holds,
 * W: some of the 16 maps of C3 and S4, or a piece of a row of 32. */

#include <math.h>
#include <string.h>

enum { C1W = 0, C1B = 150, S2C = 156, S2B = 162, C3W = 168, C3B = 2568, S4C = 2584, S4B = 2600,
       C5W = 2616, C5B = 50616, F6W = 50736, F6B = 60816 };

#if defined(__AVX512F__)
#define W 16
#elif defined(__AVX__)
#define W 8
#else
#define W 4
#endif
typedef float vec __attribute__((vector_size(4 * W), aligned(4)));

static const float A = 1.7159f, S = 2.0f / 3.0f;

static void squash(float *a, int n) {
    for (int i = 0; i < n; i++) a[i] = A * tanhf(S * a[i]);
}

static float slope(float f) { return A * S - S / A * f * f; }

static vec *at(const float *p) { return (vec *)p; }

/* A layer whose every output sees every input: out[rows] from in[columns]. */
static void dense(const float *w, const float *b, const float *in, float *out, int rows, int columns) {
    for (int i = 0; i < rows; i++, w += columns) {
        float sum = 0;
        for (int j = 0; j < columns; j++) sum += w[j] * in[j];
        out[i] = sum + b[i];
    }
    squash(out, rows);
}

/* Its way back: d_in from d_out, while the weights move. */
static void dense_back(float *w, float *b, const float *rw, const float *rb, const float *in, const float *out,
                       const float *d_out, float *d_in, int rows, int columns) {
    memset(d_in, 0, sizeof(float) * columns);
    for (int i = 0; i < rows; i++, w += columns, rw += columns) {
        const float d = d_out[i] * slope(out[i]);
        for (int j = 0; j < columns; j++) {
            d_in[j] += d * w[j];
            w[j] -= rw[j] * (d * in[j]);
        }
        b[i] -= rb[i] * d;
    }
}

/* images: n of 32x32.  rubbish: exp(-j) of equation (9), or 0 for equation (8).  input_weight: 1/4 for the average, 1
 * for the sum.  Returns the number of wrong answers, each given before its pattern was learned; losses are added up. */
long lean_run(float *t, const float *rate, const float *prototypes, const float *images, const long long *labels,
              long n, double rubbish, float input_weight, int learn, double *losses) {
    float x[32][48] = {{0}};                                 /* each row with a margin, never used */
    float c1[6][28][32], d1[6][28][32] = {{{0}}};            /* rows of 28, in 32 */
    float s2[14][96] = {{0}}, p2[14][84], d2[14][96];        /* rows of 14 x 6 maps, with a margin */
    float c3[10][10][16], d3[10][10][16], turned[5][16][32] = {{{0}}};
    float s4[25][16], p4[25][16], d4[25][16];
    float c5[120], d5[120], f6[84], d6[84];
    long wrong = 0;
    for (long p = 0; p < n; p++, images += 1024) {
        const int label = (int)labels[p];
        for (int r = 0; r < 32; r++) memcpy(x[r], images + 32 * r, 128);
        for (int m = 0; m < 6; m++)
            for (int r = 0; r < 28; r++) {
                vec sum[32 / W] = {{0}};
                for (int k = 0; k < 25; k++)
#pragma GCC unroll 8
                    for (int c = 0; c < 32; c += W) sum[c / W] += t[C1W + 25 * m + k] * *at(&x[r + k / 5][k % 5 + c]);
#pragma GCC unroll 8
                for (int c = 0; c < 32; c += W) *at(&c1[m][r][c]) = sum[c / W] + t[C1B + m];
            }
        squash(&c1[0][0][0], 6 * 28 * 32);
        for (int m = 0; m < 6; m++)
            for (int i = 0; i < 14; i++)
                for (int j = 0; j < 14; j++) {
                    const float *up = &c1[m][2 * i][2 * j], *down = &c1[m][2 * i + 1][2 * j];
                    p2[i][6 * j + m] = input_weight * (up[0] + up[1] + down[0] + down[1]);
                    s2[i][6 * j + m] = p2[i][6 * j + m] * t[S2C + m] + t[S2B + m];
                }
        squash(&s2[0][0], 14 * 96);
        for (int i = 0; i < 10; i++)
            for (int m = 0; m < 16; m += W) {
                vec sum[10];
#pragma GCC unroll 10
                for (int j = 0; j < 10; j++) sum[j] = *at(t + C3B + m);
                for (int k = 0; k < 150; k++) {
                    const vec w = *at(t + C3W + 16 * k + m);
                    const float *from = &s2[i + k / 30][k % 30];
#pragma GCC unroll 10
                    for (int j = 0; j < 10; j++) sum[j] += from[6 * j] * w;
                }
#pragma GCC unroll 10
                for (int j = 0; j < 10; j++) *at(&c3[i][j][m]) = sum[j];
            }
        squash(&c3[0][0][0], 1600);
        for (int i = 0; i < 5; i++)
            for (int j = 0; j < 5; j++)
                for (int m = 0; m < 16; m += W) {
                    const float *up = &c3[2 * i][2 * j][m], *down = &c3[2 * i + 1][2 * j][m];
                    const vec pooled = (*at(up) + *at(up + 16) + *at(down) + *at(down + 16)) * input_weight;
                    *at(&p4[5 * i + j][m]) = pooled;
                    *at(&s4[5 * i + j][m]) = pooled * *at(t + S4C + m) + *at(t + S4B + m);
                }
        squash(&s4[0][0], 400);
        dense(t + C5W, t + C5B, &s4[0][0], c5, 120, 400);
        dense(t + F6W, t + F6B, c5, f6, 84, 120);

        /* Penalties, the loss, and its derivatives by the penalties. */
        double penalty[10], likelihood[10], total = rubbish;
        int winner = 0;
        for (int c = 0; c < 10; c++) {
            float sum = 0;
            for (int i = 0; i < 84; i++) sum += (f6[i] - prototypes[84 * c + i]) * (f6[i] - prototypes[84 * c + i]);
            penalty[c] = sum;
            if (penalty[c] < penalty[winner]) winner = c;
            total += likelihood[c] = rubbish ? exp(-penalty[c]) : 0;
        }
        wrong += winner != label;
        *losses += penalty[label] + (rubbish ? log(total) : 0);
        if (!learn) continue;
        memset(d6, 0, sizeof d6);
        for (int c = 0; c < 10; c++) {
            const float d = (float)((c == label) - (rubbish ? likelihood[c] / total : 0));
            for (int i = 0; i < 84; i++) d6[i] += 2 * d * (f6[i] - prototypes[84 * c + i]);
        }

        dense_back(t + F6W, t + F6B, rate + F6W, rate + F6B, c5, f6, d6, d5, 84, 120);
        dense_back(t + C5W, t + C5B, rate + C5W, rate + C5B, &s4[0][0], c5, d5, &d4[0][0], 120, 400);
        for (int m = 0; m < 16; m += W) {
            vec by_coefficient = {0}, by_bias = {0};
            const vec share = *at(t + S4C + m) * input_weight;
            for (int q = 0; q < 25; q++) {
                const vec f = *at(&s4[q][m]), d = *at(&d4[q][m]) * (A * S - S / A * f * f);
                by_coefficient += d * *at(&p4[q][m]);
                by_bias += d;
                for (int place = 0; place < 4; place++) {
                    const int i = q / 5 * 2 + place / 2, j = q % 5 * 2 + place % 2;
                    const vec g = *at(&c3[i][j][m]);
                    *at(&d3[i][j][m]) = d * share * (A * S - S / A * g * g);
                }
            }
            *at(t + S4C + m) -= *at(rate + S4C + m) * by_coefficient;
            *at(t + S4B + m) -= *at(rate + S4B + m) * by_bias;
        }

        /* C3: first back to S2 through the old kernels, turned so that inputs lie side by side; then the kernels. */
        for (int k = 0; k < 150; k++)
            for (int m = 0; m < 16; m++) turned[k / 30][m][k % 30] = t[C3W + 16 * k + m];
        memset(d2, 0, sizeof d2);
        for (int i = 0; i < 10; i++)
            for (int r = 0; r < 5; r++)
                for (int c = 0; c < 32; c += W) {
                    vec sum[10] = {{0}};
                    for (int m = 0; m < 16; m++) {
                        const vec w = *at(&turned[r][m][c]);
#pragma GCC unroll 10
                        for (int j = 0; j < 10; j++) sum[j] += d3[i][j][m] * w;
                    }
#pragma GCC unroll 10
                    for (int j = 0; j < 10; j++) *at(&d2[i + r][6 * j + c]) += sum[j];
                }
        for (int m = 0; m < 16; m += W) {
            vec by_bias = {0};
            for (int i = 0; i < 10; i++)
                for (int j = 0; j < 10; j++) by_bias += *at(&d3[i][j][m]);
            *at(t + C3B + m) -= *at(rate + C3B + m) * by_bias;
            for (int k = 0; k < 25; k++) {
                vec g[6] = {{0}};
                for (int i = 0; i < 10; i++)
#pragma GCC unroll 10
                    for (int j = 0; j < 10; j++) {
                        const float *from = &s2[i + k / 5][6 * (j + k % 5)];
                        const vec d = *at(&d3[i][j][m]);
#pragma GCC unroll 6
                        for (int c = 0; c < 6; c++) g[c] += from[c] * d;
                    }
                for (int c = 0; c < 6; c++) {
                    const int at_kernel = C3W + 16 * (6 * k + c) + m;
                    *at(t + at_kernel) -= *at(rate + at_kernel) * g[c];
                }
            }
        }

        float of_coefficient[6] = {0}, of_bias[6] = {0};
        for (int i = 0; i < 14; i++)
            for (int j = 0; j < 14; j++)
                for (int m = 0; m < 6; m++) {
                    const float d = d2[i][6 * j + m] * slope(s2[i][6 * j + m]);
                    of_coefficient[m] += d * p2[i][6 * j + m];
                    of_bias[m] += d;
                    d2[i][6 * j + m] = d * t[S2C + m] * input_weight;
                }
        for (int m = 0; m < 6; m++) {
            float bias = 0;
            for (int r = 0; r < 28; r++)
                for (int c = 0; c < 28; c++) {
                    d1[m][r][c] = d2[r / 2][6 * (c / 2) + m] * slope(c1[m][r][c]);
                    bias += d1[m][r][c];
                }
            t[C1B + m] -= rate[C1B + m] * bias;
            t[S2C + m] -= rate[S2C + m] * of_coefficient[m];
            t[S2B + m] -= rate[S2B + m] * of_bias[m];
            for (int k = 0; k < 25; k++) {
                vec g[32 / W] = {{0}};
                for (int r = 0; r < 28; r++)
#pragma GCC unroll 8
                    for (int c = 0; c < 32; c += W) g[c / W] += *at(&d1[m][r][c]) * *at(&x[r + k / 5][k % 5 + c]);
                float sum = 0;
                for (int c = 0; c < 32; c++) sum += g[c / W][c % W];
                t[C1W + 25 * m + k] -= rate[C1W + 25 * m + k] * sum;
            }
        }
    }
    return wrong;
}
