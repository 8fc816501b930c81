// Faces drawn by the processor alone: in motion where there is no graphics card, which takes a
// fifth of the time that WebGL takes there, and at rest too where the browser gives no WebGL.
// Light as in gpu.js, but worked out at the vertices.

const WRAP = [0.24, 0.15, 0.12], AMBIENT = 0.24;
const WRAPPED = WRAP.map((value) => 1 / (1 + value) ** 2);
// Direction and radiance of each lamp in one row: this is read for every vertex of every picture.
const LAMPS = Float64Array.of(
  -0.4725, 0.6013, 0.6443, 2.100, 1.995, 1.869,
  0.8730, 0.0485, 0.4850, 0.299, 0.320, 0.340,
  0.6509, 0.3906, -0.6509, 0.752, 0.776, 0.800,
  -0.2212, 0.3016, 0.9249, 0.300, 0.300, 0.300);
const WIRE = [20, 25, 41], WIRE_SHARE = 0.4;

const TONES = 1024, BRIGHTEST = 2.5;
/** Byte on the screen of linear light, by the light's square root, which spreads the dark tones. */
const TONE = Float32Array.from({ length: TONES + 1 }, (_, k) => {
  const light = (BRIGHTEST * k / TONES) ** 2;
  return 255 * Math.min(1, (light * (1 + light / 4) / (1 + light)) ** (1 / 2.2));
});
const tone = (light) => TONE[Math.min(TONES, (Math.sqrt(light) * TONES / BRIGHTEST + 0.5) | 0)];

class Raster {
  constructor() {
    this.sheet = document.createElement("canvas");
    this.paper = this.sheet.getContext("2d");
  }

  /** A clean picture, and where the viewer stands. */
  begin(frame) {
    const { sheet } = this, { width, height } = frame;
    Object.assign(this, { frame, axes: frame.camera.axes() });
    if (!this.image || sheet.width !== width || sheet.height !== height) {
      Object.assign(sheet, { width, height });
      this.image = this.paper.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
      this.depth = new Float32Array(width * height);
    }
    const [r, g, b] = frame.clear.map((value) => Math.round(255 * value));
    this.pixels.fill(0xff000000 | b << 16 | g << 8 | r);
    this.depth.fill(0);
  }

  /** Put what was drawn since `begin` on a canvas of this many pixels. */
  show(paper, width, height) {
    const { image, sheet } = this;
    if (image.width === width && image.height === height) return paper.putImageData(image, 0, 0);
    this.paper.putImageData(image, 0, 0);
    paper.drawImage(sheet, 0, 0, width, height);
  }

  /** Where the vertices are seen: across, up and near in mm, and as column, row and nearness. */
  project({ positions, count }) {
    if (!(this.seen?.length >= 3 * count)) {
      for (const name of ["seen", "at", "front", "behind"]) this[name] = new Float32Array(3 * count);
    }
    const { seen, at, frame: { width, height, camera, field } } = this;
    const { right: [rx, ry, rz], up: [ux, uy, uz], back: [bx, by, bz] } = camera.axes();
    const [ox, oy, oz] = camera.target(), scale = height / field;
    for (let i = 0; i < 3 * count; i += 3) {
      const x = positions[i] - ox, y = positions[i + 1] - oy, z = positions[i + 2] - oz;
      seen[i] = rx * x + ry * y + rz * z;
      seen[i + 1] = ux * x + uy * y + uz * z;
      seen[i + 2] = bx * x + by * y + bz * z;
      // Linear on the picture, which the distance is not; 1 at the target, more where it is nearer.
      const near = 1 / (1 - seen[i + 2] / camera.distance);
      at[i] = width / 2 - 0.5 + seen[i] * scale * near;  // the first pixel's middle is 0
      at[i + 1] = height / 2 - 0.5 - seen[i + 1] * scale * near;
      at[i + 2] = near;
    }
  }

  /** One face between two columns of the picture. */
  face(skin, left, right) {
    this.project(skin.mesh);
    const { pixels, depth, at, front, behind, frame: { width, height, wireframe } } = this;
    front.fill(-1);  // not yet lit
    behind.fill(-1);
    const { triangles } = skin.mesh;
    for (let k = 0; k < triangles.length; k += 3) {
      const a = 3 * triangles[k], b = 3 * triangles[k + 1], c = 3 * triangles[k + 2];
      const ax = at[a], ay = at[a + 1], bx = at[b], by = at[b + 1], cx = at[c], cy = at[c + 1];
      // The pixels that the triangle may cover: most have none or one. Math.min is slower.
      const x0 = Math.max(left, Math.ceil(ax < bx ? (ax < cx ? ax : cx) : (bx < cx ? bx : cx)));
      const x1 = Math.min(right - 1, Math.floor(ax > bx ? (ax > cx ? ax : cx) : (bx > cx ? bx : cx)));
      if (x0 > x1) continue;
      const y0 = Math.max(0, Math.ceil(ay < by ? (ay < cy ? ay : cy) : (by < cy ? by : cy)));
      const y1 = Math.min(height - 1, Math.floor(ay > by ? (ay > cy ? ay : cy) : (by > cy ? by : cy)));
      const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
      if (y0 > y1 || area === 0) continue;
      const side = area < 0 ? 1 : -1, rgb = area < 0 ? front : behind;
      // How the shares of the first two corners change from pixel to pixel.
      const share = 1 / area;
      const ux = (by - cy) * share, uy = (cx - bx) * share, vx = (cy - ay) * share, vy = (ax - cx) * share;
      // The same shares in pixels from the opposite edge.
      const uWide = wireframe && 1 / Math.hypot(ux, uy), vWide = wireframe && 1 / Math.hypot(vx, vy);
      const wWide = wireframe && 1 / Math.hypot(ux + vx, uy + vy);
      const za = at[a + 2], zb = at[b + 2], zc = at[c + 2];
      for (let y = y0; y <= y1; y++) {
        for (let x = x0, i = y * width + x0; x <= x1; x++, i++) {
          const u = (x - cx) * ux + (y - cy) * uy, v = (x - cx) * vx + (y - cy) * vy, w = 1 - u - v;
          if (u < -1e-4 || v < -1e-4 || w < -1e-4) continue;  // below zero: neighbours leave no gap
          const z = u * za + v * zb + w * zc;
          if (z <= depth[i]) continue;
          depth[i] = z;
          if (rgb[a] < 0) this.light(skin, a, side, rgb);
          if (rgb[b] < 0) this.light(skin, b, side, rgb);
          if (rgb[c] < 0) this.light(skin, c, side, rgb);
          const red = u * rgb[a] + v * rgb[b] + w * rgb[c];
          const green = u * rgb[a + 1] + v * rgb[b + 1] + w * rgb[c + 1];
          const blue = u * rgb[a + 2] + v * rgb[b + 2] + w * rgb[c + 2];
          pixels[i] = wireframe ? inked(Math.min(u * uWide, v * vWide, w * wWide), red, green, blue)
            : 0xff000000 | blue << 16 | green << 8 | red;
        }
      }
    }
  }

  /** Light the vertex whose numbers begin at `i`, seen from its front (side 1) or from behind (-1). */
  light({ mesh: { normals, gloss }, colours }, i, side, rgb) {
    const { seen, frame: { camera, plain } } = this;
    const { right, up, back } = this.axes;
    const v = i / 3, x = normals[i], y = normals[i + 1], z = normals[i + 2];
    const unit = side / (Math.sqrt(x * x + y * y + z * z) || 1);
    const nx = (right[0] * x + right[1] * y + right[2] * z) * unit;
    const ny = (up[0] * x + up[1] * y + up[2] * z) * unit;
    const nz = (back[0] * x + back[1] * y + back[2] * z) * unit;
    const deep = camera.distance - seen[i + 2];
    const far = Math.sqrt(seen[i] * seen[i] + seen[i + 1] * seen[i + 1] + deep * deep);
    const ex = -seen[i] / far, ey = -seen[i + 1] / far, ez = deep / far;
    const sky = colours[4 * v + 3] / 65535, open = 0.3 + 0.7 * sky, soft = sky * sky;
    const wet = gloss[v] / 255, sharp = 14 + 160 * (wet > 0.25 ? wet - 0.25 : 0);
    let red = AMBIENT * sky * (0.75 + 0.25 * ny), green = red, blue = red;
    let glintR = 0, glintG = 0, glintB = 0;
    for (let k = 0; k < LAMPS.length; k += 6) {
      const lx = LAMPS[k], ly = LAMPS[k + 1], lz = LAMPS[k + 2];
      const lr = LAMPS[k + 3], lg = LAMPS[k + 4], lb = LAMPS[k + 5];
      const cosine = nx * lx + ny * ly + nz * lz, direct = cosine > 0 ? open * cosine : 0;
      const wrap = cosine < 0 ? cosine : 0;
      red += lr * WRAPPED[0] * (direct + (wrap > -WRAP[0] ? soft * (wrap + WRAP[0]) : 0));
      green += lg * WRAPPED[1] * (direct + (wrap > -WRAP[1] ? soft * (wrap + WRAP[1]) : 0));
      blue += lb * WRAPPED[2] * (direct + (wrap > -WRAP[2] ? soft * (wrap + WRAP[2]) : 0));
      if (plain || cosine <= 0) continue;
      const hx = ex + lx, hy = ey + ly, hz = ez + lz;
      const half = (nx * hx + ny * hy + nz * hz) / Math.sqrt(hx * hx + hy * hy + hz * hz);
      if (half <= 0) continue;
      const h2 = half * half, h4 = h2 * h2;  // a power of skin by hand: `**` is slow
      const lobe = open * Math.min(cosine, 1) * (sharp > 14 ? half ** sharp : h4 * h4 * h4 * h2) * (sharp + 8) / 60;
      glintR += lr * lobe;
      glintG += lg * lobe;
      glintB += lb * lobe;
    }
    if (plain) red = green = blue = 0.333 * (red + green + blue) * 0.7 + 0.4;
    const edge = 1 - Math.max(nx * ex + ny * ey + nz * ez, 0);
    const shine = plain ? 0 : 0.35 * wet * (0.35 + 0.65 * edge * edge * edge * edge);
    rgb[i] = tone(colours[4 * v] / 65535 * red + shine * glintR);
    rgb[i + 1] = tone(colours[4 * v + 1] / 65535 * green + shine * glintG);
    rgb[i + 2] = tone(colours[4 * v + 2] / 65535 * blue + shine * glintB);
  }
}

/** A colour this many pixels from a line half a pixel wide. */
function inked(far, ...rgb) {
  const share = 0.6 * WIRE_SHARE * Math.max(0, Math.min(1, 1 - far));
  const [r, g, b] = rgb.map((value, k) => value + share * (WIRE[k] - value));
  return 0xff000000 | b << 16 | g << 8 | r;
}

/** What all views of a page share. */
function sharedRaster() {
  const key = Symbol.for("v2mlib.raster.1");
  globalThis[key] ??= new Raster();
  return globalThis[key];
}
