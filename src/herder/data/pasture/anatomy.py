"""The parts of an alpaca, laid one over the other: legs, trunk, neck, head; from the side and from the front.

Lengths are in units of the standing height of the animal; the body's frame has x to the right, y up and the ground
at 0.
"""

from __future__ import annotations

import numpy as np

from herder.boxes import FloatArray
from herder.data.pasture.body import Body
from herder.data.pasture.light import rgb


def lay_side(body: Body, coat: FloatArray, skin: FloatArray) -> None:
    """Seen from the side: standing, walking, grazing or lying."""
    animal, rng, clay = body.animal, body.rng, body.clay
    thick = 0.82 if animal.young else float(rng.uniform(0.92, 1.12))  # fleece: shorn or full
    lying = animal.pose == "lying"
    body.lift = -0.285 if lying else 0.0
    if not lying:
        _legs(body, coat, skin, near=False)

    trunk = body.mask()
    body.limb(
        trunk, [(-0.3, 0.5), (-0.1, 0.52), (0.06, 0.53), (0.19, 0.5)], (0.135 * thick, 0.15 * thick, 0.145 * thick)
    )
    body.blob(trunk, (-0.08, 0.455), (0.31, 0.155 * thick), -2)
    body.limb(trunk, [(-0.38, 0.54), (-0.46, 0.5), (-0.465, 0.4)], (0.055, 0.05, 0.03))  # tail
    if lying:
        body.blob(trunk, (-0.09, 0.4), (0.36, 0.11))
        clay.lay(trunk, coat, puff=0.085, fuzz=0.012)
        fold = body.mask()  # the folded legs, half hidden in wool
        body.limb(fold, [(-0.34, 0.325), (-0.16, 0.315)], (0.05, 0.035))
        body.limb(fold, [(0.05, 0.32), (0.27, 0.315)], (0.05, 0.04))
        clay.lay(fold, coat * np.float32(0.9), puff=0.03, fuzz=0.008, crease=0.3)
    else:
        clay.lay(trunk, coat, puff=0.085, fuzz=0.012)
        _legs(body, coat, skin, near=True)

    neck = body.mask()
    if animal.pose == "grazing":
        reach = float(rng.uniform(0.0, 0.06))
        head = (0.5 + reach, 0.085)
        body.limb(
            neck, [(0.1, 0.53), (0.36, 0.56), (0.44, 0.4), (0.455 + reach, 0.17)], (0.15 * thick, 0.1, 0.068, 0.06)
        )
        tilt = float(rng.uniform(-75, -50))
    else:
        lean = float(rng.uniform(-0.05, 0.09))
        head = (0.36 + lean, 0.905 - abs(lean) * 0.3)
        top = (head[0] - 0.03, head[1] - 0.02)
        body.limb(neck, [(0.13, 0.49), (0.3, 0.53), (0.25 + lean * 0.5, 0.72), top], (0.16 * thick, 0.105, 0.08, 0.066))
        tilt = float(rng.uniform(-24, 4))
    clay.lay(neck, coat, puff=0.075, fuzz=0.011, crease=0.1, join=True)
    _side_head(body, coat, skin, head, tilt)


def _side_head(body: Body, coat: FloatArray, skin: FloatArray, at: tuple[float, float], tilt: float) -> None:
    """Head at ``at``; ``tilt`` in degrees lifts the nose."""
    clay, rng = body.clay, body.rng
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))

    def spot(x: float, y: float) -> tuple[float, float]:
        return at[0] + float(c * x - s * y), at[1] + float(s * x + c * y)

    back = float(rng.uniform(-0.05, 0.025))  # ears pricked or laid back
    for depth, shade in ((0.018, 0.72), (-0.012, 0.95)):  # far ear, near ear
        ear = body.mask()
        body.polygon(
            ear,
            [
                spot(-0.048 + depth, 0.04),
                spot(-0.062 + depth + back, 0.1),
                spot(-0.028 + depth + back * 1.7, 0.165),
                spot(-0.002 + depth + back, 0.11),
                spot(0.002 + depth, 0.045),
            ],
        )
        clay.lay(ear, skin * np.float32(shade), puff=0.016, rough=0.3, crease=0.2)
    muzzle = body.mask()
    body.limb(muzzle, [spot(0.01, 0.0), spot(0.075, -0.015), spot(0.118, -0.028)], (0.06, 0.044, 0.033))
    clay.lay(muzzle, skin, puff=0.03, rough=0.3, crease=0.25)
    cheek = body.mask()
    body.blob(cheek, spot(-0.022, -0.008), (0.066, 0.066))
    body.blob(cheek, spot(0.0, 0.052), (0.052, 0.034), tilt + 8)  # topknot
    clay.lay(cheek, coat, puff=0.035, fuzz=0.01, crease=0.2)
    nose = body.mask()
    body.blob(nose, spot(0.136, -0.018), (0.015, 0.013))
    body.limb(nose, [spot(0.138, -0.036), spot(0.1, -0.043)], (0.005, 0.003))
    clay.lay(nose, skin * np.float32(0.34), puff=0.01, rough=0, crease=0.0)
    _eye(body, spot(0.034, 0.014), 0.0155)


def _eye(body: Body, at: tuple[float, float], radius: float) -> None:
    eye = body.mask()
    body.blob(eye, at, (radius, radius * 0.9))
    body.clay.lay(eye, rgb(24, 18, 16), puff=0.008, rough=0, crease=0.15)
    if body.unit > 160:
        glint = body.mask()
        body.blob(glint, (at[0] + 0.004, at[1] + 0.005), (0.0045, 0.0045))
        body.clay.lay(glint, rgb(235, 235, 235), puff=0.01, rough=0, crease=0)


def _legs(body: Body, coat: FloatArray, skin: FloatArray, *, near: bool) -> None:
    """The two legs of one side: woolly thighs, slim shins, dark feet. They never meet, so each part is one layer."""
    animal, rng, clay = body.animal, body.rng, body.clay
    stride = 0.1 if animal.pose == "walking" else 0.03
    shade = np.float32(1 if near else 0.62)
    shins, soles, thighs = body.mask(), body.mask(), body.mask()
    for root, woolly in ((-0.27, 0.085), (0.17, 0.068)):
        swing = float(rng.uniform(-stride, stride)) + (0.0 if near else 0.055)
        lift = float(rng.uniform(0.0, 0.05)) if animal.pose == "walking" and rng.uniform() < 0.5 else 0.0
        back = -0.03 if root < 0 else 0.01  # the hock
        foot = (root + swing, 0.012 + lift)
        knee = (root + swing * 0.55 + back, 0.2 + lift * 0.6)
        body.limb(shins, [knee, (foot[0] + back * 0.3, 0.1 + lift), foot], (0.034, 0.025, 0.027))
        body.limb(soles, [(foot[0] - 0.004, foot[1] - 0.002), (foot[0] + 0.026, foot[1] - 0.004)], (0.016, 0.013))
        body.limb(thighs, [(root, 0.42), ((root + knee[0]) / 2, 0.3), knee], (woolly * 1.15, woolly * 0.86, 0.045))
    clay.lay(shins, skin * shade, puff=0.02, rough=0.35, crease=0.1)
    clay.lay(soles, skin * np.float32(0.4), puff=0.01, rough=0, crease=0.0)
    clay.lay(thighs, coat * shade, puff=0.045, fuzz=0.01, crease=0.16, join=near)


def lay_front(body: Body, coat: FloatArray, skin: FloatArray) -> None:
    """Seen from the front: two pairs of legs, a round barrel, the neck before it, both ears and eyes."""
    rng, clay = body.rng, body.clay
    thick = 0.85 if body.animal.young else float(rng.uniform(0.92, 1.1))
    for spread, high, shade in ((0.075, 0.03, 0.55), (0.095, 0.0, 1.0)):  # hind legs, then forelegs
        shins, soles, thighs = body.mask(), body.mask(), body.mask()
        for side in (-1, 1):
            x = side * spread + float(rng.uniform(-0.012, 0.012))
            body.limb(shins, [(x, 0.26), (x, 0.03 + high)], (0.04, 0.027))
            body.blob(soles, (x, 0.016 + high), (0.03, 0.017))
            body.limb(thighs, [(side * spread, 0.4), (side * spread, 0.19)], (0.09, 0.05))
        clay.lay(shins, skin * np.float32(shade), puff=0.02, rough=0.35, crease=0.1)
        clay.lay(soles, skin * np.float32(0.4 * shade), puff=0.01, rough=0, crease=0)
        clay.lay(thighs, coat * np.float32(shade), puff=0.04, fuzz=0.01, crease=0.2)
    barrel = body.mask()
    body.blob(barrel, (0, 0.46), (0.195 * thick, 0.195 * thick))
    clay.lay(barrel, coat, puff=0.085, fuzz=0.012, crease=0.25, join=True)
    bend = float(rng.uniform(-0.06, 0.06))
    neck = body.mask()
    body.limb(neck, [(0, 0.45), (bend * 0.3, 0.66), (bend, 0.86)], (0.125 * thick, 0.095, 0.078))
    clay.lay(neck, coat, puff=0.07, fuzz=0.011, crease=0.16, join=True)
    for side in (-1, 1):
        ear = body.mask()
        flare = side * float(rng.uniform(0.0, 0.03))
        root = bend + side * 0.062
        body.polygon(
            ear,
            [
                (root - side * 0.026, 0.94),
                (root - side * 0.012 + flare, 1.0),
                (root + side * 0.014 + flare, 1.055),
                (root + side * 0.03 + flare, 1.0),
                (root + side * 0.022, 0.925),
            ],
        )
        clay.lay(ear, skin * np.float32(0.9), puff=0.016, rough=0.3, crease=0.15)
    head = body.mask()
    body.blob(head, (bend, 0.895), (0.088, 0.08))
    body.blob(head, (bend, 0.955), (0.07, 0.042))
    clay.lay(head, coat, puff=0.04, fuzz=0.011, crease=0.3)
    face = body.mask()
    body.limb(face, [(bend, 0.89), (bend, 0.83)], (0.056, 0.046))
    clay.lay(face, skin, puff=0.03, rough=0.3, crease=0.2)
    nose = body.mask()
    body.blob(nose, (bend, 0.838), (0.022, 0.011))
    body.limb(nose, [(bend, 0.83), (bend, 0.812)], (0.005, 0.004))
    body.limb(nose, [(bend - 0.02, 0.806), (bend, 0.812), (bend + 0.02, 0.806)], (0.004, 0.004))
    clay.lay(nose, skin * np.float32(0.34), puff=0.01, rough=0, crease=0)
    for side in (-1, 1):
        _eye(body, (bend + side * 0.05, 0.895), 0.0155)
