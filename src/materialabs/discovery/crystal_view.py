"""A crystal to turn with the mouse: a canvas and a few lines of script, nothing fetched."""

from __future__ import annotations

import json
from itertools import product
from typing import Any, Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.elements import COVALENT_RADIUS, SYMBOLS

ON_FACE: Final = 0.01
"""Of a cell edge: atoms so near to a face are drawn on the other side too."""

BOND_SHARE: Final = 1.2
"""Atoms nearer than this times the sum of their covalent radii are joined by a line."""

MOST_DRAWN: Final = 400
"""Atoms, those on faces repeated."""


def scene(crystal: Crystals) -> str:
    """One crystal's cell as JSON for the script: atoms, bonds, edges, legend."""
    from ase.data.colors import jmol_colors

    frac, numbers = _with_faces(crystal)
    lattice = crystal.lattice[0]
    middle = 0.5 * lattice.sum(axis=0)
    atoms = frac @ lattice - middle
    radii = np.nan_to_num(COVALENT_RADIUS[numbers], nan=1.5)
    kinds = sorted(set(numbers.tolist()))
    document: dict[str, Any] = {
        "atoms": [
            [*(round(float(x), 4) for x in place), round(float(radius), 3), kinds.index(number)]
            for place, radius, number in zip(atoms, radii, numbers.tolist(), strict=True)
        ],
        "bonds": _bonds(atoms, radii),
        "edges": _edges(lattice, middle),
        "kinds": [[SYMBOLS[z], [int(255 * c) for c in jmol_colors[z]]] for z in kinds],
    }
    return json.dumps(document, separators=(",", ":"))


def _with_faces(crystal: Crystals) -> tuple[Any, Any]:
    """The cell's atoms, and once more those on faces, edges and corners."""
    frac = crystal.wrapped().frac
    near_one = frac > 1.0 - ON_FACE
    frac = np.where(near_one, frac - 1.0, frac)
    every, numbers = [frac], [crystal.numbers]
    for shift in list(product((0, 1), repeat=3))[1:]:
        step = np.array(shift)
        kept = (frac[:, step == 1] < ON_FACE).all(axis=1)
        every.append(frac[kept] + step)
        numbers.append(crystal.numbers[kept])
    return np.concatenate(every)[:MOST_DRAWN], np.concatenate(numbers)[:MOST_DRAWN]


def _bonds(atoms: Any, radii: Any) -> list[list[int]]:
    gaps = np.linalg.norm(atoms[:, None] - atoms[None], axis=2)
    near = gaps < BOND_SHARE * (radii[:, None] + radii[None])
    return [[int(a), int(b)] for a, b in np.argwhere(np.triu(near, 1))]


def _edges(lattice: Any, middle: Any) -> list[list[float]]:
    corners = {bits: np.array(bits) @ lattice - middle for bits in product((0, 1), repeat=3)}
    return [
        [round(float(x), 4) for x in (*corners[a], *corners[b])]
        for a in corners
        for b in corners
        if a < b and sum(abs(p - q) for p, q in zip(a, b, strict=True)) == 1
    ]


SCRIPT: Final = """
document.querySelectorAll('canvas.crystal').forEach(function (canvas) {
  var data = JSON.parse(canvas.dataset.scene), turn = 0.5, tilt = 0.25, from = null;
  var reach = 0.1;
  data.edges.forEach(function (e) { reach = Math.max(reach, Math.hypot(e[0], e[1], e[2]),
    Math.hypot(e[3], e[4], e[5])); });
  function placed(p) {
    var a = Math.cos(turn), b = Math.sin(turn), c = Math.cos(tilt), d = Math.sin(tilt);
    var x = a * p[0] + b * p[1], y = -b * p[0] + a * p[1], z = p[2];
    return [x, c * z + d * y, c * y - d * z];
  }
  function shade(rgb, f) {
    return 'rgb(' + rgb.map(function (v) { return Math.round(Math.min(255, v * f)); }) + ')';
  }
  function draw() {
    var sharp = window.devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
    canvas.width = w * sharp; canvas.height = h * sharp;
    var ink = canvas.getContext('2d'), scale = 0.44 * Math.min(w, h) / (reach + 0.6);
    ink.setTransform(sharp, 0, 0, sharp, 0, 0);
    function at(p) { return [w / 2 + scale * p[0], h / 2 - scale * p[1]]; }
    function line(p, q, width, style) {
      var a = at(p), b = at(q);
      ink.lineWidth = width; ink.strokeStyle = style; ink.beginPath();
      ink.moveTo(a[0], a[1]); ink.lineTo(b[0], b[1]); ink.stroke();
    }
    data.edges.forEach(function (e) {
      line(placed(e.slice(0, 3)), placed(e.slice(3)), 1, '#9aa3ad');
    });
    var spots = data.atoms.map(function (a) { return placed(a); });
    var items = spots.map(function (p, i) { return [p[2], 0, i]; });
    data.bonds.forEach(function (b, i) {
      items.push([(spots[b[0]][2] + spots[b[1]][2]) / 2, 1, i]);
    });
    items.sort(function (a, b) { return b[0] - a[0]; });
    items.forEach(function (item) {
      if (item[1]) {
        var b = data.bonds[item[2]];
        line(spots[b[0]], spots[b[1]], Math.max(2, 0.12 * scale), '#b4bbc3');
        return;
      }
      var atom = data.atoms[item[2]], p = at(spots[item[2]]), r = 0.42 * scale * atom[3];
      var rgb = data.kinds[atom[4]][1];
      var glow = ink.createRadialGradient(p[0] - r / 3, p[1] - r / 3, r / 8, p[0], p[1], r);
      glow.addColorStop(0, shade(rgb.map(function (v) { return v * 0.6 + 102; }), 1));
      glow.addColorStop(1, shade(rgb, 0.72));
      ink.fillStyle = glow; ink.beginPath(); ink.arc(p[0], p[1], r, 0, 7); ink.fill();
      ink.lineWidth = 0.7; ink.strokeStyle = 'rgba(20,30,40,.55)'; ink.stroke();
    });
    data.kinds.forEach(function (kind, i) {
      ink.fillStyle = shade(kind[1], 0.95); ink.strokeStyle = 'rgba(20,30,40,.55)';
      ink.beginPath(); ink.arc(16, 18 + 22 * i, 7, 0, 7); ink.fill(); ink.stroke();
      ink.fillStyle = '#1c2430'; ink.font = '14px Helvetica, Arial, sans-serif';
      ink.fillText(kind[0], 28, 23 + 22 * i);
    });
  }
  canvas.addEventListener('pointerdown', function (e) {
    from = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId);
  });
  canvas.addEventListener('pointermove', function (e) {
    if (!from) { return; }
    turn += (e.clientX - from[0]) / 120; tilt += (e.clientY - from[1]) / 120;
    from = [e.clientX, e.clientY]; draw();
  });
  canvas.addEventListener('pointerup', function () { from = null; });
  window.addEventListener('resize', draw);
  draw();
});
window.addEventListener('load', function () { window.dispatchEvent(new Event('resize')); });
"""
"""Draws each canvas of class ``crystal``; drag to turn. At the end figures take the width of their
columns, which was not known yet where their scripts stood."""
