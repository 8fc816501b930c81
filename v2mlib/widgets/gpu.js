// Faces drawn by WebGL2. One context per page draws every view, because browsers allow only a few.

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
// The studio of faces/shading.py and raster.js; creases stand in for its cast shadows.
const vec3 WRAP = vec3(0.24, 0.15, 0.12);  // light that bleeds through skin is mostly red
const vec3 WRAPPED = 1.0 / ((1.0 + WRAP) * (1.0 + WRAP));
const float AMBIENT = 0.24;
vec3 light, glint;
void lamp(vec3 towards, vec3 radiance, vec3 n, vec3 eye, float sharp) {
  float cosine = dot(n, towards), open = 0.3 + 0.7 * sky;
  light += radiance * WRAPPED * (open * max(cosine, 0.0) + sky * sky * max(min(cosine, 0.0) + WRAP, 0.0));
  float lobe = pow(max(dot(n, normalize(eye + towards)), 0.0), sharp) * (sharp + 8.0) / 60.0;
  glint += radiance * open * lobe * clamp(cosine, 0.0, 1.0);
}
void main() {
  if (line.a > 0.0) { pixel = vec4(line.rgb * line.a, line.a); return; }
  vec3 n = normalize(shadeNormal), eye = normalize(toEye);
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


/** The page's one WebGL context, if the browser gives one. */
class Gpu {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.views = new Set();
    const context = (antialias) => this.canvas.getContext("webgl2", { antialias, alpha: false, powerPreference: "high-performance" });
    this.gl = context(false);
    this.software = !this.gl || rendersInSoftware(this.gl);
    if (!this.software) {
      // Multisampling takes a software renderer three times as long; there a face at rest is drawn finer instead.
      this.gl.getExtension("WEBGL_lose_context")?.loseContext();
      this.canvas = document.createElement("canvas");
      this.gl = context(true);
    }
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.program = null;
      for (const view of this.views) view.restored();
    });
  }

  /** Whether it can draw now: a context may be refused, or lost when the machine is busy. */
  get ready() {
    if (!this.gl || this.gl.isContextLost()) return false;
    if (!this.program) this.link();
    return Boolean(this.program);
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
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      if (gl.isContextLost()) return;
      console.warn(`The viewer's shader does not link: ${gl.getProgramInfoLog(program)}`);
      this.gl = null;
      return;
    }
    this.program = program;
    this.at = Object.fromEntries(["axes", "target", "scale", "distance", "depth", "plain", "line"]
      .map((name) => [name, gl.getUniformLocation(program, name)]));
  }

  /** At least this large; given back when far too large, because all of it is copied. */
  resize(width, height) {
    const { canvas } = this;
    const large = canvas.width * canvas.height > 2 * width * height;
    if (large || canvas.width < width) canvas.width = width;
    if (large || canvas.height < height) canvas.height = height;
  }

  /** A clean picture, and where the viewer stands. */
  begin({ width, height, camera, field, clear, plain, wireframe }) {
    const { gl, at } = this;
    this.resize(width, height);
    Object.assign(this, { width, height, wireframe });
    const { right, up, back } = camera.axes();
    const reach = 1.6 * Math.hypot(...camera.high.map((value, k) => value - camera.low[k])) + Math.hypot(...camera.pan);
    const near = Math.max(camera.distance - reach, 1), far = camera.distance + reach;
    gl.viewport(0, 0, width, height);
    gl.enable(gl.SCISSOR_TEST);  // clearing is not limited by the viewport
    gl.scissor(0, 0, width + 2, height + 2);  // smoothing looks past the edge
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.POLYGON_OFFSET_FILL);
    gl.polygonOffset(1, 1);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.clearColor(...clear, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(this.program);
    gl.uniformMatrix3fv(at.axes, false, [...right, ...up, ...back]);
    gl.uniform3fv(at.target, camera.target());
    gl.uniform2f(at.scale, 2 * height / (field * width), 2 / field);
    gl.uniform1f(at.distance, camera.distance);
    gl.uniform2f(at.depth, (far + near) / (far - near), 2 * far * near / (far - near) / camera.distance);
    gl.uniform1f(at.plain, plain ? 1 : 0);
  }

  /** One face between two columns of the picture. */
  face(skin, left, right) {
    const { gl, at } = this, { mesh } = skin;
    const buffers = this.upload(skin);
    const type = mesh.triangles instanceof Uint32Array ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
    gl.scissor(left, 0, right - left, this.height);
    gl.disable(gl.BLEND);
    gl.uniform4f(at.line, 0, 0, 0, 0);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.triangles);
    gl.drawElements(gl.TRIANGLES, mesh.triangles.length, type, 0);
    if (!this.wireframe) return;
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.edges);
    if (!buffers.edged) gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.edges(), gl.STATIC_DRAW);
    buffers.edged = true;
    gl.enable(gl.BLEND);
    gl.uniform4f(at.line, ...WIRE.map((value) => value / 255), WIRE_SHARE);
    gl.drawElements(gl.LINES, mesh.edges().length, type, 0);
  }

  /** Put what was drawn since `begin` on a canvas of this many pixels. */
  show(paper, width, height) {
    const from = [0, this.canvas.height - this.height, this.width, this.height];
    paper.drawImage(this.canvas, ...from, 0, 0, width, height);
  }

  /** The face's buffers, with what has changed since they were last used. */
  upload(skin) {
    const { gl } = this;
    skin.buffers ??= this.create(skin.mesh);
    const { buffers } = skin;
    gl.bindVertexArray(buffers.array);
    const fill = (name, values) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    };
    if (buffers.moves !== skin.mesh.moves) { fill("positions", skin.mesh.positions); fill("normals", skin.mesh.normals); }
    if (buffers.painted !== skin.colours) fill("colours", skin.colours);
    Object.assign(buffers, { moves: skin.mesh.moves, painted: skin.colours });
    return buffers;
  }

  create(mesh) {
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

  free({ buffers }) {
    if (!buffers) return;
    buffers.all.forEach((buffer) => this.gl.deleteBuffer(buffer));
    this.gl.deleteVertexArray(buffers.array);
  }
}

/** Whether the processor does the work of a graphics card. */
function rendersInSoftware(gl) {
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  const name = gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER) || "";
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

/** What all views of a page share. */
function sharedGpu() {
  const key = Symbol.for("v2mlib.viewer.2");
  globalThis[key] ??= new Gpu();
  return globalThis[key];
}
