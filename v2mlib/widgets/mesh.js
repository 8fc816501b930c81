// A face as the browser keeps it: numbers in mm, packed small for the journey.

/** Bytes from a widget buffer (DataView) or from base64 text, as a typed array. */
function typed(source, Type) {
  if (!source) return null;
  if (typeof source === "string") {
    const text = atob(source);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return new Type(bytes.buffer);
  }
  // A copy, because a buffer out of a message need not be aligned.
  return new Type(source.buffer.slice(source.byteOffset, source.byteOffset + source.byteLength));
}

/** Vertices in mm, from 16-bit steps of their bounding box. */
function unpackedVertices({ vertices, offset, step }) {
  const packed = typed(vertices, Uint16Array), out = new Float32Array(packed.length);
  for (let i = 0; i < packed.length; i += 3) {
    for (let k = 0; k < 3; k++) out[i + k] = offset[k] + packed[i + k] * step;
  }
  return out;
}

/** A face: rest shape, triangles and, for a morphable model, its modes. */
class Mesh {
  constructor(payload) {
    this.rest = unpackedVertices(payload);
    this.count = this.rest.length / 3;
    this.triangles = typed(payload.triangles, this.count > 65535 ? Uint32Array : Uint16Array);
    this.colours = typed(payload.colours, Uint8Array);
    this.sky = typed(payload.sky, Uint8Array);
    this.gloss = typed(payload.gloss, Uint8Array) || new Uint8Array(this.count).fill(51);
    this.regions = Object.fromEntries(
      Object.entries(payload.regions || {}).map(([name, ids]) => [name, typed(ids, Uint32Array)]));
    this.landmarks = payload.landmarks || [];
    this.landmarkNumbers = payload.landmark_numbers || [];
    this.lines = payload.lines || {};
    this.values = typed(payload.values, Float32Array);  // numbers of its own to colour it by
    this.positions = payload.posed ? unpackedVertices(payload.posed) : this.rest.slice();
    this.moves = 0;  // how often its positions have changed
    this.normals = new Float32Array(this.rest.length);
    this.updateNormals();
    this.takeModes(payload);
  }

  /** The modes may come after the face. */
  takeModes(payload) {
    this.modes = typed(payload.modes, Int16Array);
    this.modeSteps = payload.mode_steps || [];
    this.posed = null;  // coefficients of the positions
    this.steps = 0;  // since the face was last worked out from its rest shape
  }

  /**
   * rest + sum of coefficient * mode. Only what changed since the last call is worked out, unless
   * it is to be `exact`: each step rounds.
   */
  pose(coefficients, exact = false) {
    const { positions, modes, posed: before } = this;
    if (!modes) return;
    const changed = coefficients.flatMap((value, k) => (value === before?.[k] ? [] : [k]));
    if (!changed.length && !(exact && this.steps)) return;
    const afresh = exact || !before || this.steps > 400 || 2 * changed.length > coefficients.length || !coefficients.some(Boolean);
    if (afresh) positions.set(this.rest);
    this.steps = afresh ? 0 : this.steps + 1;
    for (const k of afresh ? coefficients.keys() : changed) {
      // Behind all modes there may be the remainders of all, where 16 bits were too few.
      for (let part = k; part < this.modeSteps.length; part += coefficients.length) {
        const factor = (coefficients[k] - (afresh ? 0 : before[k])) * this.modeSteps[part];
        if (!factor) break;
        for (let i = 0, j = part * positions.length; i < positions.length; i++, j++) {
          positions[i] += factor * modes[j];
        }
      }
    }
    this.posed = [...coefficients];
    this.moves += 1;
    this.updateNormals();
  }

  updateNormals() {
    const { positions: p, normals: n, triangles: t } = this;
    n.fill(0);
    for (let k = 0; k < t.length; k += 3) {
      const a = 3 * t[k], b = 3 * t[k + 1], c = 3 * t[k + 2];
      const ux = p[b] - p[a], uy = p[b + 1] - p[a + 1], uz = p[b + 2] - p[a + 2];
      const vx = p[c] - p[a], vy = p[c + 1] - p[a + 1], vz = p[c + 2] - p[a + 2];
      const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
      n[a] += x; n[a + 1] += y; n[a + 2] += z;
      n[b] += x; n[b + 1] += y; n[b + 2] += z;
      n[c] += x; n[c + 1] += y; n[c + 2] += z;
    }
  }

  /** Distance of every vertex from the rest shape, mm. */
  displacement() {
    const { positions: p, rest: r } = this;
    const out = new Float32Array(this.count);
    for (let v = 0, i = 0; v < out.length; v++, i += 3) {
      const x = p[i] - r[i], y = p[i + 1] - r[i + 1], z = p[i + 2] - r[i + 2];
      out[v] = Math.sqrt(x * x + y * y + z * z);
    }
    return out;
  }

  bounds() {
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    this.rest.forEach((value, i) => {
      low[i % 3] = Math.min(low[i % 3], value);
      high[i % 3] = Math.max(high[i % 3], value);
    });
    return { low, high };
  }

  /** Each edge once, for the wireframe. */
  edges() {
    if (this.edgeList) return this.edgeList;
    const seen = new Set();
    const list = [];
    for (let k = 0; k < this.triangles.length; k++) {
      const a = this.triangles[k], b = this.triangles[k % 3 === 2 ? k - 2 : k + 1];
      const key = Math.min(a, b) * this.count + Math.max(a, b);
      if (!seen.has(key)) { seen.add(key); list.push(a, b); }
    }
    this.edgeList = new this.triangles.constructor(list);
    return this.edgeList;
  }
}

