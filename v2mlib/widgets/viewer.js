// A small WebGL2 viewer for faces. Units are mm; x to the subject's left, y up, z out of the face.
// One WebGL context per page draws every view, because browsers allow only a few contexts.
// The parts of the viewer are joined into one module by bundle.py, so they import nothing.

const VERTEX_SHADER = `#version 300 es
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec4 colour;  // linear, and the share of the sky the vertex sees
layout(location = 3) in float gloss;
uniform mat3 axes;      // columns: right, up, back
uniform vec3 target;
uniform vec2 scale;     // 2 / width and 2 / height of the picture at the target, 1/mm
uniform float distance;
uniform vec2 depth;
uniform vec4 line;      // wireframe colour, opacity 0 for surfaces
out vec3 shadeNormal;
out vec3 toEye;
out vec3 albedo;
out float sky;
out float wet;
void main() {
  vec3 seen = (position - target) * axes;
  float w = 1.0 - seen.z / distance;
  gl_Position = vec4(seen.xy * scale, depth.x * w - depth.y, w);
  if (line.a > 0.0) gl_Position.z -= 0.006 * w;  // in front of the surface; software renderers need this much
  shadeNormal = normal * axes;
  toEye = vec3(0.0, 0.0, distance) - seen;
  albedo = colour.rgb;
  sky = colour.a;
  wet = gloss;
}`;

const FRAGMENT_SHADER = `#version 300 es
precision highp float;
in vec3 shadeNormal;
in vec3 toEye;
in vec3 albedo;
in float sky;
in float wet;           // 0.2 skin, up to 1 for eyes
uniform float plain;    // 1: colours carry numbers, keep them readable
uniform vec4 line;      // wireframe colour, opacity 0 for surfaces
out vec4 pixel;
uniform float swift;    // 1: without highlights, for motion under software rendering
// The studio of faces/shading.py; creases stand in for its cast shadows.
const vec3 WRAP = vec3(0.24, 0.15, 0.12);  // light that bleeds through skin is mostly red
const vec3 WRAPPED = 1.0 / ((1.0 + WRAP) * (1.0 + WRAP));
const float AMBIENT = 0.24;
vec3 light, glint;
void lamp(vec3 towards, vec3 radiance, vec3 n, vec3 eye, float sharp) {
  float cosine = dot(n, towards), open = 0.3 + 0.7 * sky;
  light += radiance * WRAPPED * (open * max(cosine, 0.0) + sky * sky * max(min(cosine, 0.0) + WRAP, 0.0));
  if (swift > 0.5) return;
  float lobe = pow(max(dot(n, normalize(eye + towards)), 0.0), sharp) * (sharp + 8.0) / 60.0;
  glint += radiance * open * lobe * clamp(cosine, 0.0, 1.0);
}
void main() {
  if (line.a > 0.0) { pixel = vec4(line.rgb * line.a, line.a); return; }
  vec3 n = normalize(shadeNormal), eye = swift > 0.5 ? vec3(0.0, 0.0, 1.0) : normalize(toEye);
  if (!gl_FrontFacing) n = -n;
  light = vec3(AMBIENT * sky * (0.75 + 0.25 * n.y));
  glint = vec3(0.0);
  float sharp = 14.0 + 160.0 * clamp(wet - 0.25, 0.0, 1.0);
  // Unrolled and with unit vectors written out: software renderers are slow at arrays.
  lamp(vec3(-0.4725, 0.6013, 0.6443), 2.10 * vec3(1.0, 0.95, 0.89), n, eye, sharp);
  lamp(vec3(0.8730, 0.0485, 0.4850), 0.34 * vec3(0.88, 0.94, 1.0), n, eye, sharp);
  lamp(vec3(0.6509, 0.3906, -0.6509), 0.80 * vec3(0.94, 0.97, 1.0), n, eye, sharp);
  lamp(vec3(-0.2212, 0.3016, 0.9249), vec3(0.30), n, eye, sharp);
  light = mix(light, vec3(dot(light, vec3(0.333)) * 0.7 + 0.4), plain);
  float edge = 1.0 - max(dot(n, eye), 0.0), fresnel = 0.35 + 0.65 * edge * edge * edge * edge;
  vec3 colour = albedo * light + (1.0 - plain) * 0.35 * wet * fresnel * glint;
  colour = colour * (1.0 + colour / 4.0) / (1.0 + colour);
  pixel = vec4(pow(colour, vec3(1.0 / 2.2)), 1.0);
}`;

const SKIN = [204, 163, 140];
const LINEAR = Uint16Array.from({ length: 256 }, (_, byte) => 65535 * (byte / 255) ** 2.2);
const HIGHLIGHT = [0, 114, 178], FADED = [190, 190, 190];
const THEMES = {
  light: { clear: [0.925, 0.937, 0.953], ink: "#1b2230", halo: "rgba(255,255,255,0.85)" },
  dark: { clear: [0.125, 0.141, 0.169], ink: "#eef1f6", halo: "rgba(20,23,28,0.85)" },
};

/** Whether the processor does the work of a graphics card. */
function rendersInSoftware() {
  const gl = document.createElement("canvas").getContext("webgl2", { antialias: false });
  const names = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = gl?.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER) || "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

/** The page's one WebGL context. */
class Gpu {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.software = rendersInSoftware();
    // Multisampling takes a software renderer three times as long; there a face at rest is drawn finer instead.
    const options = { antialias: !this.software, alpha: false, powerPreference: "high-performance" };
    this.gl = this.canvas.getContext("webgl2", options);
    if (!this.gl) throw new Error("This browser offers no WebGL2, so the face cannot be turned here.");
    this.views = new Set();
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.link();
      for (const view of this.views) { view.buffers.clear(); view.redraw(); }
    });
    this.link();
  }

  link() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX_SHADER], [gl.FRAGMENT_SHADER, FRAGMENT_SHADER]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(`The viewer's shader does not link: ${gl.getProgramInfoLog(program)}`);
    }
    this.program = program;
    this.at = Object.fromEntries(["axes", "target", "scale", "distance", "depth", "plain", "line", "swift"]
      .map((name) => [name, gl.getUniformLocation(program, name)]));
  }

  upload(mesh) {
    const { gl } = this;
    const buffers = { array: gl.createVertexArray(), all: [] };
    gl.bindVertexArray(buffers.array);
    const attribute = (index, size, type, normalised) => {
      const buffer = gl.createBuffer();
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(index);
      gl.vertexAttribPointer(index, size, type, normalised, 0, 0);
      buffers.all.push(buffer);
      return buffer;
    };
    buffers.positions = attribute(0, 3, gl.FLOAT, false);
    buffers.normals = attribute(1, 3, gl.FLOAT, false);
    buffers.colours = attribute(2, 4, gl.UNSIGNED_SHORT, true);
    attribute(3, 1, gl.UNSIGNED_BYTE, true);
    gl.bufferData(gl.ARRAY_BUFFER, mesh.gloss, gl.STATIC_DRAW);
    for (const name of ["triangles", "edges"]) {
      buffers[name] = gl.createBuffer();
      buffers.all.push(buffers[name]);
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.triangles);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.triangles, gl.STATIC_DRAW);
    return buffers;
  }

  free(buffers) {
    buffers.all.forEach((buffer) => this.gl.deleteBuffer(buffer));
    this.gl.deleteVertexArray(buffers.array);
  }

  /** At least this large; given back when far too large, because all of it is copied. */
  resize(width, height) {
    const { canvas } = this;
    const large = canvas.width * canvas.height > 2 * width * height;
    if (large || canvas.width < width) canvas.width = width;
    if (large || canvas.height < height) canvas.height = height;
  }
}

function sharedGpu() {
  const key = Symbol.for("v2mlib.viewer.1");
  globalThis[key] ??= new Gpu();
  return globalThis[key];
}

const SETTLE_MS = 180;

/**
 * One face on one canvas. Set `settings` and `mesh`, then call `recolour`, `moved` or `redraw`.
 * `other` is a second face that `settings.split` shares the picture with: 0 shows the first alone.
 *
 * A face in motion is drawn as coarsely as its renderer needs for 30 pictures a second, a face
 * at rest in full.
 */
class View {
  constructor(canvas, mesh, camera = new Camera(), settings = {}) {
    Object.assign(this, { canvas, mesh, camera, other: null });
    this.settings = {
      theme: "light", wireframe: false, landmarks: false, lines: [], region: "", scalars: null, split: 0, ...settings,
    };
    this.gpu = sharedGpu();
    this.gpu.views.add(this);
    camera.include(mesh.bounds());
    camera.views.add(this);
    this.buffers = new Map();
    this.stale = new Map();
    this.redraws = 0;
    this.coarseness = this.gpu.software ? 1.5 : 1;
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(canvas);
    camera.changed();
  }

  moved() { this.stale.clear(); this.redraw(); }

  recolour() { for (const stale of this.stale.values()) stale.colours = true; this.redraw(); }

  redraw() {
    clearTimeout(this.rest);
    this.canvas.dataset.drawn = "soon";
    this.request ??= requestAnimationFrame((now) => { this.request = null; this.step(now); });
  }

  /** One picture of a motion; the last is followed by a fine one. */
  step(now) {
    const spent = now - this.last;
    this.last = now;
    if (spent < 15 * SETTLE_MS && this.busy) {
      if (spent > 24) this.coarseness = Math.min(2, this.coarseness + 0.25);
      else if (spent < 20) this.coarseness = Math.max(1, this.coarseness - 0.05);
    }
    this.busy = true;
    this.draw(1 / this.coarseness);
    this.rest = setTimeout(() => { this.busy = false; this.finish(); }, SETTLE_MS);
  }

  /** The picture as good as it gets. */
  finish() {
    clearTimeout(this.rest);
    this.busy = false;
    if (this.gpu.software || this.coarseness > 1) this.draw(this.gpu.software ? 2 : 1);
    if (this.canvas.width !== 300) this.canvas.dataset.drawn = "fine";
  }

  close() {
    cancelAnimationFrame(this.request);
    clearTimeout(this.rest);
    this.observer.disconnect();
    this.camera.views.delete(this);
    this.gpu.views.delete(this);
    for (const buffers of this.buffers.values()) this.gpu.free(buffers);
  }

  vertexColours(mesh) {
    const { scalars, region } = this.settings;
    // A region is tinted; where colours are numbers, everything else is faded instead.
    const tint = scalars ? FADED : HIGHLIGHT, chosen = mesh.regions[region] || [];
    const out = new Uint16Array(4 * mesh.count);
    const keep = new Uint8Array(mesh.count).fill(scalars && chosen.length ? 0 : 1);
    for (const v of chosen) keep[v] = scalars ? 1 : 0;
    const values = scalars && (scalars.live ? mesh.displacement() : mesh.values || scalars.values);
    const table = values ? paletteOf(scalars) : mesh.colours || SKIN;
    const each = values ? 0 : mesh.colours ? 3 : 0;
    const factor = values ? (PALETTE - 1) / (scalars.high - scalars.low || 1) : 0;
    for (let v = 0; v < mesh.count; v++) {
      let from = each * v;
      if (values) {
        const number = (values[v] - scalars.low) * factor;
        from = number === number ? 3 * Math.max(0, Math.min(PALETTE - 1, Math.round(number))) : 3 * PALETTE;
      }
      for (let k = 0; k < 3; k++) {
        const byte = table[from + k];
        out[4 * v + k] = LINEAR[keep[v] ? byte : Math.round(0.45 * byte + 0.55 * tint[k])];
      }
      out[4 * v + 3] = mesh.sky ? 257 * mesh.sky[v] : 65535;
    }
    return out;
  }

  /** Draw now, `fineness` times as many pixels along each side as the picture has. */
  draw(fineness = 1) {
    const { canvas, gpu, mesh, camera, settings } = this;
    const { gl } = gpu;
    const ratio = Math.min(globalThis.devicePixelRatio || 1, 2);
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height || gl.isContextLost()) return;
    this.prepare?.();
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const part = Math.min(fineness, 2600 / Math.max(width, height));
    const size = [Math.round(width * part), Math.round(height * part)];
    gpu.resize(...size);
    const field = camera.field(width / height);
    const theme = THEMES[settings.theme] || THEMES.light;
    this.aim(size, field, theme, gpu.software && fineness < 1.5);
    const cut = Math.round(size[0] * (this.other ? 1 - settings.split : 1));
    this.paint(mesh, 0, cut, size);
    if (this.other) this.paint(this.other, cut, size[0], size);
    const paper = canvas.getContext("2d");
    paper.imageSmoothingQuality = "high";
    paper.drawImage(gpu.canvas, 0, gpu.canvas.height - size[1], ...size, 0, 0, width, height);
    annotate(paper, this, { ratio, width, height, field, theme });
    if (this.other && settings.split > 0 && settings.split < 1) {
      paper.fillStyle = theme.ink;
      paper.fillRect(Math.round(width * (1 - settings.split)) - ratio, 0, 2 * ratio, height);
    }
    this.redraws += 1;
  }

  /** Clear the picture and tell the shader where the viewer stands. */
  aim(size, field, theme, swift) {
    const { gpu, camera, settings, gpu: { gl } } = this;
    const { right, up, back } = camera.axes();
    const reach = 1.6 * Math.hypot(...camera.high.map((value, k) => value - camera.low[k])) + Math.hypot(...camera.pan);
    const near = Math.max(camera.distance - reach, 1), far = camera.distance + reach;
    gl.viewport(0, 0, ...size);
    gl.enable(gl.SCISSOR_TEST);  // clearing is not limited by the viewport
    gl.scissor(0, 0, size[0] + 2, size[1] + 2);  // smoothing looks past the edge
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.POLYGON_OFFSET_FILL);
    gl.polygonOffset(1, 1);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.clearColor(...theme.clear, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(gpu.program);
    gl.uniformMatrix3fv(gpu.at.axes, false, [...right, ...up, ...back]);
    gl.uniform3fv(gpu.at.target, camera.target());
    gl.uniform2f(gpu.at.scale, 2 * size[1] / (field * size[0]), 2 / field);
    gl.uniform1f(gpu.at.distance, camera.distance);
    gl.uniform2f(gpu.at.depth, (far + near) / (far - near), 2 * far * near / (far - near) / camera.distance);
    gl.uniform1f(gpu.at.plain, settings.scalars ? 1 : 0);
    gl.uniform1f(gpu.at.swift, swift ? 1 : 0);
  }

  /** One face between two columns of the picture. */
  paint(mesh, left, right, [, height]) {
    const { gpu, settings, gpu: { gl } } = this;
    if (right <= left) return;
    const buffers = this.refresh(mesh);
    const type = mesh.triangles instanceof Uint32Array ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
    gl.scissor(left, 0, right - left, height);
    gl.disable(gl.BLEND);
    gl.uniform4f(gpu.at.line, 0, 0, 0, 0);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.triangles);
    gl.drawElements(gl.TRIANGLES, mesh.triangles.length, type, 0);
    if (!settings.wireframe) return;
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.edges);
    if (!buffers.edged) gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.edges(), gl.STATIC_DRAW);
    buffers.edged = true;
    gl.enable(gl.BLEND);
    gl.uniform4f(gpu.at.line, 0.08, 0.1, 0.16, 0.4);
    gl.drawElements(gl.LINES, mesh.edges().length, type, 0);
  }

  /** The face's buffers, with what has changed since they were last used. */
  refresh(mesh) {
    const { gl } = this.gpu;
    if (!this.buffers.has(mesh)) {
      this.buffers.set(mesh, this.gpu.upload(mesh));
      this.stale.delete(mesh);
    }
    const buffers = this.buffers.get(mesh);
    const stale = this.stale.get(mesh) || { positions: true, colours: !buffers.coloured || this.settings.scalars?.live };
    gl.bindVertexArray(buffers.array);
    const fill = (name, values) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    };
    if (stale.positions) { fill("positions", mesh.positions); fill("normals", mesh.normals); }
    if (stale.colours) fill("colours", this.vertexColours(mesh));
    buffers.coloured = true;
    this.stale.set(mesh, { positions: false, colours: false });
    return buffers;
  }
}
