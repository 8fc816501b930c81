// A small WebGL2 viewer for faces. Units are mm; x to the subject's left, y up, z out of the face.
// One WebGL context per page draws every view, because browsers allow only a few contexts.
// The parts of the viewer are joined into one module by bundle.py, so they import nothing.

const VERTEX_SHADER = `#version 300 es
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec4 colour;  // sRGB, and the share of the sky the vertex sees
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
  albedo = pow(colour.rgb, vec3(2.2));
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
// The studio of faces/shading.py; creases stand in for its cast shadows.
const vec3 WRAP = vec3(0.24, 0.15, 0.12);  // light that bleeds through skin is mostly red
const float AMBIENT = 0.24;
const vec3 TOWARDS[4] = vec3[](vec3(-0.55, 0.70, 0.75), vec3(0.90, 0.05, 0.50),
                               vec3(0.75, 0.45, -0.75), vec3(-0.22, 0.30, 0.92));
const vec3 RADIANCE[4] = vec3[](2.10 * vec3(1.0, 0.95, 0.89), 0.34 * vec3(0.88, 0.94, 1.0),
                                0.80 * vec3(0.94, 0.97, 1.0), vec3(0.30));
void main() {
  if (line.a > 0.0) { pixel = vec4(line.rgb * line.a, line.a); return; }
  vec3 eye = normalize(toEye);
  vec3 n = normalize(shadeNormal);
  if (!gl_FrontFacing) n = -n;
  vec3 light = vec3(AMBIENT * sky * (0.75 + 0.25 * n.y)), glint = vec3(0.0);
  float sharp = 14.0 + 160.0 * clamp(wet - 0.25, 0.0, 1.0);
  for (int k = 0; k < 4; k++) {
    vec3 towards = normalize(TOWARDS[k]);
    float cosine = dot(n, towards), open = 0.3 + 0.7 * sky;
    light += RADIANCE[k] / ((1.0 + WRAP) * (1.0 + WRAP))
      * (open * max(cosine, 0.0) + sky * sky * max(min(cosine, 0.0) + WRAP, 0.0));
    float lobe = pow(max(dot(n, normalize(eye + towards)), 0.0), sharp) * (sharp + 8.0) / 60.0;
    glint += RADIANCE[k] * open * lobe * clamp(cosine, 0.0, 1.0);
  }
  light = mix(light, vec3(dot(light, vec3(0.333)) * 0.7 + 0.4), plain);
  float fresnel = 0.35 + 0.65 * pow(1.0 - max(dot(n, eye), 0.0), 4.0);
  vec3 colour = albedo * light + (1.0 - plain) * 0.35 * wet * fresnel * glint;
  colour = colour * (1.0 + colour / 4.0) / (1.0 + colour);
  pixel = vec4(pow(colour, vec3(1.0 / 2.2)), 1.0);
}`;

const SKIN = [204, 163, 140];
const HIGHLIGHT = [0, 114, 178];
const THEMES = {
  light: { clear: [0.925, 0.937, 0.953], ink: "#1b2230", halo: "rgba(255,255,255,0.85)" },
  dark: { clear: [0.125, 0.141, 0.169], ink: "#eef1f6", halo: "rgba(20,23,28,0.85)" },
};

/** The page's one WebGL context. */
class Gpu {
  constructor() {
    this.canvas = document.createElement("canvas");
    const options = { antialias: true, alpha: false, powerPreference: "high-performance" };
    this.gl = this.canvas.getContext("webgl2", options);
    if (!this.gl) throw new Error("This browser offers no WebGL2, so the face cannot be turned here.");
    this.views = new Set();
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.link();
      for (const view of this.views) { view.buffers = null; view.redraw(); }
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
    this.at = Object.fromEntries(["axes", "target", "scale", "distance", "depth", "plain", "line"]
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
    buffers.colours = attribute(2, 4, gl.UNSIGNED_BYTE, true);
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
    buffers?.all.forEach((buffer) => this.gl.deleteBuffer(buffer));
    if (buffers) this.gl.deleteVertexArray(buffers.array);
  }
}

function sharedGpu() {
  const key = Symbol.for("v2mlib.viewer.1");
  globalThis[key] ??= new Gpu();
  return globalThis[key];
}

/** One face on one canvas. Set `settings` and `mesh`, then call `recolour`, `moved` or `redraw`. */
class View {
  constructor(canvas, mesh, camera = new Camera(), settings = {}) {
    Object.assign(this, { canvas, mesh, camera });
    this.settings = {
      theme: "light", wireframe: false, landmarks: false, lines: [], region: "", scalars: null, ...settings,
    };
    this.gpu = sharedGpu();
    this.gpu.views.add(this);
    camera.include(mesh.bounds());
    camera.views.add(this);
    this.redraws = 0;
    this.stale = { positions: true, colours: true };
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(canvas);
    camera.changed();
  }

  moved() { this.stale.positions = true; if (this.settings.scalars?.live) this.stale.colours = true; this.redraw(); }

  recolour() { this.stale.colours = true; this.redraw(); }

  redraw() { this.request ??= requestAnimationFrame(() => { this.request = null; this.draw(); }); }

  close() {
    cancelAnimationFrame(this.request);
    this.observer.disconnect();
    this.camera.views.delete(this);
    this.gpu.views.delete(this);
    this.gpu.free(this.buffers);
  }

  vertexColours() {
    const { mesh, settings: { scalars, region } } = this;
    const out = new Uint8Array(4 * mesh.count);
    const values = scalars && (scalars.live ? mesh.displacement() : scalars.values);
    for (let v = 0; v < mesh.count; v++) {
      const rgb = values ? colourOf(values[v], scalars)
        : mesh.colours ? mesh.colours.subarray(3 * v, 3 * v + 3) : SKIN;
      out.set(rgb, 4 * v);
      out[4 * v + 3] = mesh.sky ? mesh.sky[v] : 255;
    }
    for (const v of mesh.regions[region] || []) {
      for (let k = 0; k < 3; k++) out[4 * v + k] = 0.45 * out[4 * v + k] + 0.55 * HIGHLIGHT[k];
    }
    return out;
  }

  draw() {
    const { canvas, gpu, mesh, camera, settings } = this;
    const { gl } = gpu;
    const ratio = Math.min(globalThis.devicePixelRatio || 1, 2);
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height || gl.isContextLost()) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    if (gpu.canvas.width < width) gpu.canvas.width = width;
    if (gpu.canvas.height < height) gpu.canvas.height = height;
    this.buffers ??= (this.stale = { positions: true, colours: true }, gpu.upload(mesh));
    this.refresh();
    const { right, up, back } = camera.axes(), field = camera.field(width / height);
    const reach = 1.6 * Math.hypot(...camera.high.map((value, k) => value - camera.low[k])) + Math.hypot(...camera.pan);
    const near = Math.max(camera.distance - reach, 1), far = camera.distance + reach;
    const theme = THEMES[settings.theme] || THEMES.light;
    gl.viewport(0, 0, width, height);
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.POLYGON_OFFSET_FILL);
    gl.polygonOffset(1, 1);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.clearColor(...theme.clear, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(gpu.program);
    gl.uniformMatrix3fv(gpu.at.axes, false, [...right, ...up, ...back]);
    gl.uniform3fv(gpu.at.target, camera.target());
    gl.uniform2f(gpu.at.scale, 2 * height / (field * width), 2 / field);
    gl.uniform1f(gpu.at.distance, camera.distance);
    gl.uniform2f(gpu.at.depth, (far + near) / (far - near), 2 * far * near / (far - near) / camera.distance);
    gl.uniform1f(gpu.at.plain, settings.scalars ? 1 : 0);
    const type = mesh.triangles instanceof Uint32Array ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
    gl.uniform4f(gpu.at.line, 0, 0, 0, 0);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.buffers.triangles);
    gl.drawElements(gl.TRIANGLES, mesh.triangles.length, type, 0);
    if (settings.wireframe) {
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.buffers.edges);
      if (!this.buffers.edged) gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.edges(), gl.STATIC_DRAW);
      this.buffers.edged = true;
      gl.uniform4f(gpu.at.line, 0.08, 0.1, 0.16, 0.4);
      gl.drawElements(gl.LINES, mesh.edges().length, type, 0);
    }
    const paper = canvas.getContext("2d");
    paper.drawImage(gpu.canvas, 0, gpu.canvas.height - height, width, height, 0, 0, width, height);
    annotate(paper, this, { ratio, width, height, field, theme });
    this.redraws += 1;
  }

  refresh() {
    const { gl } = this.gpu;
    gl.bindVertexArray(this.buffers.array);
    const fill = (name, values) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    };
    if (this.stale.positions) { fill("positions", this.mesh.positions); fill("normals", this.mesh.normals); }
    if (this.stale.colours) fill("colours", this.vertexColours());
    this.stale = { positions: false, colours: false };
  }
}
