// What is written over the picture: landmarks, lines, colour bar, length bar.

const LINE_COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/** Colour of one number on a map given by evenly spaced stops; grey where there is no number. */
function colourOf(value, { low, high, stops }) {
  if (!Number.isFinite(value)) return [128, 128, 128];
  const place = Math.max(0, Math.min(1, (value - low) / (high - low || 1))) * (stops.length - 1);
  const k = Math.min(Math.floor(place), stops.length - 2);
  return stops[k].map((channel, i) => channel + (place - k) * (stops[k + 1][i] - channel));
}

const PALETTE = 1024;
const palettes = new WeakMap();

/** The map as a table of colours, and grey behind it for what is no number. */
function paletteOf(scalars) {
  if (!palettes.has(scalars)) {
    const { low, high } = scalars;
    const numbers = Array.from({ length: PALETTE }, (_, k) => low + (high - low) * k / (PALETTE - 1));
    palettes.set(scalars, Uint8Array.from([...numbers, NaN].flatMap((value) => colourOf(value, scalars))));
  }
  return palettes.get(scalars);
}

/** Pixel of a vertex, and whether its surface looks at the camera. */
function place(view, vertex, { width, height, field }) {
  const { camera, mesh: { positions: p, normals: n } } = view;
  const { right, up, back } = camera.axes(), target = camera.target();
  const along = (axis, data, origin) => axis.reduce(
    (sum, value, k) => sum + value * (data[3 * vertex + k] - (origin ? origin[k] : 0)), 0);
  const z = along(back, p, target);
  const scale = height / field / (1 - z / camera.distance);
  const x = width / 2 + along(right, p, target) * scale;
  return { x, y: height / 2 - along(up, p, target) * scale, front: along(back, n) > 0 };
}

/** Length of a line between two vertices of the face as it stands, mm. */
function lineLength(mesh, [i, j]) {
  const p = mesh.positions;
  return Math.hypot(p[3 * i] - p[3 * j], p[3 * i + 1] - p[3 * j + 1], p[3 * i + 2] - p[3 * j + 2]);
}

function annotate(paper, view, frame) {
  const { settings, mesh } = view;
  const { ratio, theme } = frame;
  paper.font = `${12 * ratio}px system-ui, sans-serif`;
  paper.textBaseline = "middle";
  const text = (string, x, y, align = "left") => {
    paper.textAlign = align;
    paper.lineWidth = 3 * ratio;
    paper.strokeStyle = theme.halo;
    paper.strokeText(string, x, y);
    paper.fillStyle = theme.ink;
    paper.fillText(string, x, y);
  };
  if (settings.landmarks) {
    for (const [k, vertex] of mesh.landmarks.entries()) {
      const { x, y, front } = place(view, vertex, frame);
      paper.globalAlpha = front ? 1 : 0.2;
      paper.fillStyle = theme.ink;
      paper.strokeStyle = theme.halo;
      paper.lineWidth = 1.5 * ratio;
      paper.beginPath();
      paper.arc(x, y, 2.4 * ratio, 0, 2 * Math.PI);
      paper.stroke();
      paper.fill();
      if (frame.field < 160 && front) text(mesh.landmarkNumbers[k] ?? k, x + 5 * ratio, y - 6 * ratio);
    }
    paper.globalAlpha = 1;
  }
  settings.lines.filter((name) => mesh.lines[name]).forEach((name, index) => {
    const [a, b] = mesh.lines[name].map((vertex) => place(view, vertex, frame));
    for (const [colour, width] of [[theme.halo, 5], [LINE_COLOURS[index % LINE_COLOURS.length], 2.5]]) {
      paper.strokeStyle = colour;
      paper.lineWidth = width * ratio;
      paper.beginPath();
      paper.moveTo(a.x, a.y);
      paper.lineTo(b.x, b.y);
      paper.stroke();
    }
    const lower = a.y > b.y ? a : b;
    const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    const steep = Math.abs(a.y - b.y) > Math.abs(a.x - b.x);
    const label = `${name.replaceAll("_", " ")} ${lineLength(mesh, mesh.lines[name]).toFixed(1)} mm`;
    if (steep) text(label, lower.x + 8 * ratio, lower.y + 10 * ratio);
    else text(label, middle.x, middle.y - 10 * ratio, "center");
  });
  if (settings.scalars && !settings.barless) colourBar(paper, settings.scalars, frame, text);
  lengthBar(paper, frame, text);
}

function colourBar(paper, scalars, { ratio, width, height }, text) {
  const { low, high, stops, name, unit } = scalars;
  const tall = 0.27 * height, top = 34 * ratio, left = width - 26 * ratio, wide = 12 * ratio;
  const gradient = paper.createLinearGradient(0, top + tall, 0, top);
  stops.forEach((rgb, k) => gradient.addColorStop(k / (stops.length - 1), `rgb(${rgb.join(",")})`));
  paper.fillStyle = gradient;
  paper.fillRect(left, top, wide, tall);
  const digits = high - low < 1 ? 2 : high - low < 20 ? 1 : 0;
  for (const part of [0, 0.5, 1]) {
    text((low + part * (high - low)).toFixed(digits), left - 5 * ratio, top + (1 - part) * tall, "right");
  }
  text([name, unit && `(${unit})`].filter(Boolean).join(" "), width - 12 * ratio, 16 * ratio, "right");
}

/** A bar of round length at the depth of the face's middle. */
function lengthBar(paper, { ratio, height, field, theme }, text) {
  const length = [100, 50, 20, 10, 5, 2].find((mm) => mm < 0.3 * field) || 1;
  const wide = length * height / field, left = 14 * ratio, base = height - 14 * ratio;
  paper.fillStyle = theme.ink;
  paper.fillRect(left, base, wide, 2 * ratio);
  text(`${length} mm`, left, base - 9 * ratio);
}
