# The polynomials of ../math.cuh: Chebyshev interpolation in 60 digits (mpmath.chebyfit), rounded to float32.
# Run it with Python and mpmath 1.3; it prints the coefficients, highest power first.
import struct
from mpmath import mp, mpf, chebyfit, exp, log, tanh, erf, erfc, sqrt, expm1, log1p

mp.dps = 60

def float32(x):
    return struct.unpack("f", struct.pack("f", float(x)))[0].hex()

def fit(name, f, lo, hi, terms):
    poly, error = chebyfit(f, [lo, hi], terms, error=True)
    print(name, "error of the fit %.2g" % error)
    for c in poly:
        print("   ", float32(c), mp.nstr(c, 10))

tiny = mpf("1e-12")
half_ln2 = log(2) / 2 + mpf("1e-6")
# exp(r) = 1 + r + r²·q(r)
fit("exp", lambda r: mpf("0.5") if abs(r) < tiny else (expm1(r) - r) / r**2, -half_ln2, half_ln2, 6)
# tanh(x) = x + x³·p(x²)
fit("tanh", lambda z: mpf(-1) / 3 if abs(z) < tiny else (tanh(sqrt(z)) - sqrt(z)) / sqrt(z) ** 3, 0, mpf("0.3025"), 5)
# log((1+s)/(1−s)) = 2s + s·z·p(z), z = s²
def logp(z):
    if abs(z) < tiny: return mpf(2) / 3
    s = sqrt(z)
    return (log((1 + s) / (1 - s)) - 2 * s) / (s * z)
smax = (sqrt(2) - 1) / (sqrt(2) + 1)
fit("log", logp, 0, smax**2, 4)
# erf(x) = x + x·p(x²) on [0, 0.93]
fit("erf small", lambda z: 2 / sqrt(mp.pi) - 1 if abs(z) < tiny else erf(sqrt(z)) / sqrt(z) - 1, 0, mpf("0.8649"), 7)
# erf(x) = 1 − exp(−(x + x·p(x))) on [0.93, 4]
fit("erf large", lambda t: -log(erfc(t)) / t - 1, mpf("0.92"), mpf(4), 9)
