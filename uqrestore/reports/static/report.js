"use strict";
// Everything is in the page: arrays stand in <script type="text/plain"> elements, quantised,
// gzipped, in base64; pictures are drawn here, so that sliders answer at once.
(async () => {
  const $ = (id) => document.getElementById(id);
  const head = JSON.parse($("head").textContent);
  if (!head.shape) return;
  const [Z, H, W] = head.shape, N = H * W;
  const reduced = matchMedia("(prefers-reduced-motion: reduce)").matches;

  // --- arrays -------------------------------------------------------------------------------
  async function bytes(name) {
    const text = atob($("data-" + name).textContent);
    const zipped = Uint8Array.from(text, (c) => c.charCodeAt(0));
    const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }
  const A = {};
  await Promise.all(Object.entries(head.arrays).map(async ([name, how]) => {
    const buffer = await bytes(name);
    const raw = how.dtype === "u1" ? new Uint8Array(buffer) : new Uint16Array(buffer);
    const values = new Float32Array(raw.length);
    for (let i = 0; i < raw.length; i++) values[i] = how.offset + how.scale * raw[i];
    A[name] = values;
  }));
  if (A.low && A.high) A.width = A.high.map((v, i) => v - A.low[i]);
  const cut = (name, z) => A[name].subarray(z * N, (z + 1) * N);

  // --- colours ------------------------------------------------------------------------------
  const LUT = {};
  for (const [name, hex] of Object.entries(head.colours)) {
    LUT[name] = new Uint8Array(768);
    for (let i = 0; i < 768; i++) LUT[name][i] = parseInt(hex.substr(2 * i, 2), 16);
  }
  const gradient = (name) => "linear-gradient(90deg," + [0, 32, 64, 96, 128, 160, 192, 224, 255]
    .map((i) => `rgb(${LUT[name][3 * i]},${LUT[name][3 * i + 1]},${LUT[name][3 * i + 2]})`).join(",") + ")";

  // --- drawing ------------------------------------------------------------------------------
  const UP = Math.max(1, Math.ceil(256 / W));
  const sheet = new OffscreenCanvas(W, H), pen = sheet.getContext("2d"), page = pen.createImageData(W, H);
  function paint(canvas, values, lut, low, high, extra) {
    if (!canvas) return;
    const table = LUT[lut], data = page.data, gain = 255 / (high - low || 1);
    for (let row = 0; row < H; row++) {
      let to = 4 * W * (H - 1 - row);  // row 0 is posterior, so it comes last
      for (let i = row * W; i < (row + 1) * W; i++, to += 4) {
        let c = (values[i] - low) * gain;
        c = 3 * (c < 0 ? 0 : c > 255 ? 255 : c | 0);
        data[to] = table[c]; data[to + 1] = table[c + 1]; data[to + 2] = table[c + 2]; data[to + 3] = 255;
      }
    }
    pen.putImageData(page, 0, 0);
    if (canvas.width !== W * UP) { canvas.width = W * UP; canvas.height = H * UP; canvas.style.aspectRatio = `${W * head.pixel[0]} / ${H * head.pixel[1]}`; }
    const g = canvas.getContext("2d");
    g.imageSmoothingEnabled = false;
    g.drawImage(sheet, 0, 0, W * UP, H * UP);
    if (extra) extra(g);
    if (canvas.dataset.plain === undefined) marks(g, canvas);
    cross(g);
  }
  function marks(g, canvas) {
    const size = Math.round(H * UP / 20);
    g.font = `${size}px system-ui, sans-serif`; g.fillStyle = "#fff"; g.strokeStyle = "#000"; g.lineWidth = 3;
    const say = (text, x, y, align) => { g.textAlign = align; g.strokeText(text, x, y); g.fillText(text, x, y); };
    const [left, right, top] = head.sides;
    say(left, 4, H * UP / 2, "left"); say(right, W * UP - 4, H * UP / 2, "right"); say(top, W * UP / 2, size, "center");
    if (canvas.dataset.scale !== undefined) {
      const length = 50 / head.pixel[0] * UP;
      g.fillRect(8, H * UP - 8, length, 2); say("50 mm", 8, H * UP - 12, "left");
    }
  }
  function cross(g) {
    if (state.at === null) return;
    const x = (state.at[0] + .5) * UP, y = (H - state.at[1] - .5) * UP;
    g.strokeStyle = "#ff9d2e"; g.lineWidth = 1; g.beginPath();
    g.moveTo(x, 0); g.lineTo(x, y - 5); g.moveTo(x, y + 5); g.lineTo(x, H * UP);
    g.moveTo(0, y); g.lineTo(x - 5, y); g.moveTo(x + 5, y); g.lineTo(W * UP, y); g.stroke();
  }
  const edges = (values, level, colour) => (g) => {  // outline of the pixels above a level
    g.strokeStyle = colour; g.lineWidth = Math.max(1, UP / 2.5); g.beginPath();
    for (let r = 0; r < H; r++) for (let c = 0; c < W; c++) {
      if (!(values[r * W + c] > level)) continue;
      const x = c * UP, y = (H - 1 - r) * UP;
      if (!(values[r * W + c - 1] > level) || c === 0) { g.moveTo(x, y); g.lineTo(x, y + UP); }
      if (!(values[r * W + c + 1] > level) || c === W - 1) { g.moveTo(x + UP, y); g.lineTo(x + UP, y + UP); }
      if (!(values[(r + 1) * W + c] > level)) { g.moveTo(x, y); g.lineTo(x + UP, y); }
      if (!(values[(r - 1) * W + c] > level)) { g.moveTo(x, y + UP); g.lineTo(x + UP, y + UP); }
    }
    g.stroke();
  };
  const hatch = (test, colour) => (g) => {
    g.strokeStyle = colour; g.lineWidth = 1.2; g.beginPath();
    for (let r = 0; r < H; r++) for (let c = 0; c < W; c++) if (test(r * W + c)) {
      const x = c * UP, y = (H - 1 - r) * UP; g.moveTo(x, y + UP); g.lineTo(x + UP, y);
    }
    g.stroke();
  };
  const short = (v) => { const a = Math.abs(v); return a >= 1000 || v === 0 ? v.toFixed(0) : a >= 1e-4 ? String(+v.toPrecision(3)) : v.toExponential(1).replace(/e([+-]\d+)/, " ×10^$1"); };
  function bar(name, lut, low, high, unit) {
    document.querySelectorAll(`[data-bar="${name}"]`).forEach((at) => {
      at.children[0].textContent = short(low); at.children[1].style.background = gradient(lut);
      at.children[2].textContent = short(high); at.children[3].textContent = unit;
    });
  }

  // --- state --------------------------------------------------------------------------------
  const state = { z: head.start, at: null, low: head.window[0], high: head.window[1], draw: 0, alpha: head.spread.map(() => 0), tolerance: head.tolerance };
  const D = head.draws, K = head.spread.length;

  function images() {
    for (const name of head.grey) paint($("map-" + name), cut(name, state.z), "gray", state.low, state.high);
    if (D.length) paint($("map-draw"), cut("draw" + D[state.draw], state.z), "gray", state.low, state.high);
    paint($("map-std"), cut("std", state.z), "cividis", 0, head.stdTop);
    paint($("map-width"), cut("width", state.z), "cividis", 0, head.widthTop);
    if (A.phase) { paint($("map-phase"), cut("phase", state.z), "twilight", -Math.PI, Math.PI); bar("phase", "twilight", -180, 180, "degrees"); }
    bar("grey", "gray", state.low, state.high, "intensity, " + head.unit);
    bar("std", "cividis", 0, head.stdTop, head.unit); bar("width", "cividis", 0, head.widthTop, head.unit);
  }
  function where() {
    const std = cut("std", state.z), width = cut("width", state.z), mask = cut("mask", state.z), mean = cut("mean", state.z);
    paint($("map-contour"), mean, "gray", state.low, state.high, edges(std, head.stdHigh, "#ff9d2e"));
    paint($("map-tolerance"), mean, "gray", state.low, state.high, hatch((i) => mask[i] > .5 && width[i] > state.tolerance, "#ff9d2e"));
    const ratio = new Float32Array(N);
    for (let i = 0; i < N; i++) ratio[i] = std[i] > 0 ? Math.abs(mean[i]) / std[i] : 0;
    paint($("map-ratio"), ratio, "cividis", 0, head.ratioTop); bar("ratio", "cividis", 0, head.ratioTop, "mean / std, no unit");
   
    let wide = 0, all = 0;
    for (let i = 0; i < A.mask.length; i++) if (A.mask[i] > .5) { all++; if (A.width[i] > state.tolerance) wide++; }
    $("wide").textContent = all ? `${(100 * wide / all).toFixed(1)} % of the ${head.inside} is hatched: its ${head.interval} interval is wider than ${short(state.tolerance)} ${head.unit}` : "";
  }
  function steps() {
    for (let k = 0; k < K; k++) paint($("map-step" + k), cut("pc" + k, state.z).map((v) => v * head.spread[k][state.z]), "PuOr_r", -head.stepTop / 2, head.stepTop / 2);
    bar("step", "PuOr_r", -head.stepTop / 2, head.stepTop / 2, head.unit);
  }
  const moved = new Float32Array(N), change = new Float32Array(N);
  function how() {
    if (!K) return;
    change.fill(0);
    state.alpha.forEach((alpha, k) => {
      if (!alpha) return;
      const pc = cut("pc" + k, state.z), step = alpha * head.spread[k][state.z];
      for (let i = 0; i < N; i++) change[i] += step * pc[i];
    });
    const mean = cut("mean", state.z);
    for (let i = 0; i < N; i++) moved[i] = mean[i] + change[i];
    paint($("map-moved"), moved, "gray", state.low, state.high);
    paint($("map-change"), change, "PuOr_r", -head.stepTop, head.stepTop);
    bar("change", "PuOr_r", -head.stepTop, head.stepTop, head.unit);
    const far = Math.max(...state.alpha.map(Math.abs));
    $("figure-moved").classList.toggle("beyond", far > 2);
    $("badge-range").textContent = far > 2 ? "beyond ±2 std: few draws reach this far" : "within ±2 std of the draws";
    $("badge-range").className = "badge " + (far > 2 ? "fair" : "good");
    if (head.gram) {
      const g = head.gram[state.z], a = [1, ...state.alpha];
      let sum = 0;
      for (let i = 0; i <= K; i++) for (let j = 0; j <= K; j++) sum += a[i] * a[j] * g[i][j];
      const fit = Math.max(0, sum);
      const value = head.noisy ? fit : Math.sqrt(fit), ok = head.noisy ? value < 1.1 : value < head.fitTolerance;
      $("badge-fit").textContent = (head.noisy ? `χ² per measurement ${value.toPrecision(3)}` : `‖Ax − y‖/‖y‖ ${value.toExponential(1)}`) + (ok ? ": fits the data" : ": does not fit the data");
      $("badge-fit").className = "badge " + (ok ? "good" : "poor");
    }
    if (D.length && head.scores) {
      let best = 0, least = Infinity;
      head.scores.forEach((rows, j) => {
        const distance = rows.reduce((s, row, k) => s + (row[state.z] - state.alpha[k]) ** 2, 0);
        if (distance < least) { least = distance; best = j; }
      });
      paint($("map-nearest"), cut("draw" + D[best], state.z), "gray", state.low, state.high);
      $("nearest-name").textContent = `draw ${D[best] + 1}, ${Math.sqrt(least).toFixed(1)} std away`;
    }
  }
  function residual() {
    if (!A.residual) return;
    const canvas = $("map-residual"), [, rows, columns] = head.arrays.residual.shape;
    const small = new OffscreenCanvas(columns, rows), p = small.getContext("2d"), image = p.createImageData(columns, rows);
    const table = LUT.cividis, from = A.residual.subarray(state.z * rows * columns), top = head.residualTop || 1;
    for (let i = 0; i < rows * columns; i++) {
      const c = 3 * Math.max(0, Math.min(255, 255 * from[i] / top | 0)), to = 4 * ((rows - 1 - (i / columns | 0)) * columns + i % columns);
      image.data.set([table[c], table[c + 1], table[c + 2], 255], to);
    }
    p.putImageData(image, 0, 0);
    canvas.width = columns * UP; canvas.height = rows * UP;
    const g = canvas.getContext("2d"); g.imageSmoothingEnabled = false; g.drawImage(small, 0, 0, canvas.width, canvas.height);
    bar("residual", "cividis", 0, top, head.unit);
  }
  function readout() {
    const at = $("readout");
    if (state.at === null) { at.textContent = "Click an image, or focus one and use the arrow keys, to read values."; return; }
    const [c, r] = state.at, i = state.z * N + r * W + c, v = (name) => short(A[name][i]);
    let text = `x ${head.x[c].toFixed(1)}, y ${head.y[r].toFixed(1)}, z ${head.z[state.z].toFixed(1)} mm:  mean ${v("mean")}, std ${v("std")}, ${head.interval} interval ${v("low")} to ${v("high")} ${head.unit}`;
    if (A.phase) text += `, phase ${(A.phase[i] * 180 / Math.PI).toFixed(0)}°`;
    if (A.truth) text += `, reference ${v("truth")} (${A.truth[i] >= A.low[i] && A.truth[i] <= A.high[i] ? "inside" : "outside"})`;
    at.textContent = text;
  }
  let last = 0;
  function all() {
    const start = performance.now();
    images(); where(); how(); steps(); residual(); readout();
    document.querySelectorAll("[data-slice-out]").forEach((o) => { o.textContent = `z = ${head.z[state.z].toFixed(1)} mm`; });
    document.querySelectorAll("[data-slice]").forEach((s) => { s.value = state.z; });
    last = performance.now() - start;
  }

  // --- controls -----------------------------------------------------------------------------
  document.querySelectorAll("[data-slice]").forEach((s) => s.addEventListener("input", () => { state.z = +s.value; all(); }));
  const range = head.range[1] - head.range[0];
  const level = $("level"), window_ = $("window");
  function windowed() {
    const middle = head.range[0] + range * level.value / 100, half = range * window_.value / 200;
    state.low = middle - half; state.high = middle + half;
    labels(); images(); where(); how();
  }
  level.value = 100 * ((state.low + state.high) / 2 - head.range[0]) / range; window_.value = 100 * (state.high - state.low) / range;
  const labels = () => { $("level-out").textContent = short((state.low + state.high) / 2); $("window-out").textContent = short(state.high - state.low); };
  level.addEventListener("input", windowed); window_.addEventListener("input", windowed);
  $("tolerance").addEventListener("input", (e) => { state.tolerance = +e.target.value; $("tolerance-out").textContent = short(state.tolerance) + " " + head.unit; where(); });
  const players = {};
  function player(button, step, period) {
    if (!button) return;
    button.addEventListener("click", () => {
      const on = players[button.id] === undefined;
      if (on) players[button.id] = setInterval(step, period); else { clearInterval(players[button.id]); delete players[button.id]; }
      button.textContent = on ? "stop" : button.dataset.name; button.setAttribute("aria-pressed", on);
    });
  }
  function showDraw(j) { state.draw = j; $("draw").value = j; $("draw-out").textContent = `${D[j] + 1} of ${head.planned}`; images(); }
  if (D.length) {
    $("draw").addEventListener("input", (e) => showDraw(+e.target.value));
    player($("cine"), () => showDraw((state.draw + 1) % D.length), reduced ? 1200 : 300);
  }
  const sliders = [...document.querySelectorAll("[data-component]")];
  function slide(k, value) { state.alpha[k] = value; sliders[k].value = value; $("alpha-" + k).textContent = `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(2)} std`; how(); }
  let chosen = 0;
  sliders.forEach((s, k) => s.addEventListener("input", () => { chosen = k; const start = performance.now(); slide(k, +s.value); last = performance.now() - start; }));
  if (K) {
    $("reset").addEventListener("click", () => sliders.forEach((_, k) => slide(k, 0)));
    if ($("toDraw")) $("toDraw").addEventListener("click", () => sliders.forEach((_, k) => slide(k, Math.max(-3, Math.min(3, head.scores[state.draw][k][state.z])))));
    let phase = 0;
    player($("sweep"), () => { phase += reduced ? .8 : .13; slide(chosen, 2 * Math.sin(phase)); }, reduced ? 1200 : 60);
  }
  const point = (c, r) => { state.at = [Math.max(0, Math.min(W - 1, c)), Math.max(0, Math.min(H - 1, r))]; all(); };
  document.querySelectorAll("canvas.map:not([data-plain])").forEach((canvas) => {
    canvas.addEventListener("click", (e) => {
      const box = canvas.getBoundingClientRect();
      point((e.clientX - box.left) / box.width * W | 0, H - 1 - ((e.clientY - box.top) / box.height * H | 0));
    });
    canvas.addEventListener("keydown", (e) => {
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[e.key];
      if (e.key === "PageUp" || e.key === "PageDown") { state.z = Math.max(0, Math.min(Z - 1, state.z + (e.key === "PageUp" ? 1 : -1))); all(); e.preventDefault(); }
      if (!move) return;
      const [c, r] = state.at ?? [W / 2 | 0, H / 2 | 0];
      point(c + move[0], r + move[1]); e.preventDefault();
    });
  });
  document.querySelectorAll("[data-spot]").forEach((button) => button.addEventListener("click", () => {
    const [z, r, c] = JSON.parse(button.dataset.spot);
    state.z = z; point(c, r); $("where").scrollIntoView();
  }));
  document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
    const text = $(button.dataset.copy).textContent;
    try { await navigator.clipboard.writeText(text); button.textContent = "copied"; }
    catch { getSelection().selectAllChildren($(button.dataset.copy)); button.textContent = "selected: press Ctrl+C"; }
  }));
  labels();
  if (D.length) showDraw(0);
  all();

  // --- volumes ------------------------------------------------------------------------------
  function nifti(values, name) {
    const size = 352 + 4 * values.length, buffer = new ArrayBuffer(size), v = new DataView(buffer), G = head.volume;
    v.setInt32(0, 348, true);
    [3, G.shape[0], G.shape[1], G.shape[2], 1, 1, 1, 1].forEach((n, i) => v.setInt16(40 + 2 * i, n, true));
    v.setInt16(70, 16, true); v.setInt16(72, 32, true);
    [1, ...G.pixel, 1, 1, 1, 1].forEach((n, i) => v.setFloat32(76 + 4 * i, n, true));
    v.setFloat32(108, 352, true); v.setFloat32(112, 1, true); v.setUint8(123, 2);
    v.setInt16(254, 1, true);
    G.affine.slice(0, 12).forEach((n, i) => v.setFloat32(280 + 4 * i, n, true));
    [110, 43, 49, 0].forEach((n, i) => v.setUint8(344 + i, n));
    new Float32Array(buffer, 352).set(values);
    return new File([buffer], name + ".nii");
  }
  const spread = (name) => {  // place the slices on a regular grid, each as thick as its gap
    const G = head.volume, out = new Float32Array(G.shape[0] * G.shape[1] * G.shape[2]);
    G.source.forEach((z, k) => { if (z >= 0) out.set(cut(name, z), k * N); });
    return out;
  };
  const canvas = $("volume");
  let nv = null, shown = [];
  async function overlay() {
    const name = $("overlay").value, opacity = +$("opacity").value / 100;
    while (nv.volumes.length > 1) nv.removeVolume(nv.volumes[1]);
    if (name !== "none") {
      const signed = name.startsWith("pc");
      const values = spread(name);
      if (signed) { const s = head.spread[+name.slice(2)]; head.volume.source.forEach((z, k) => { if (z >= 0) for (let i = 0; i < N; i++) values[k * N + i] *= s[z]; }); }
      const image = await niivue.NVImage.loadFromFile({ file: nifti(values, name), name: name + ".nii", colormap: signed ? "uq_warm" : "uq_cividis", opacity });
      nv.addVolume(image);
      const v = nv.volumes[1];
      if (signed) { v.colormapNegative = "uq_cool"; v.cal_min = head.stepTop * .1; v.cal_max = head.stepTop; v.cal_minNeg = -head.stepTop * .1; v.cal_maxNeg = -head.stepTop; }
      else { v.cal_min = name === "std" ? head.stdTop * .15 : 0; v.cal_max = name === "std" ? head.stdTop : head.widthTop; }
    }
    nv.updateGLVolume();
  }
  async function openVolume() {
    const table = (name, from, to) => {
      const at = [0, 64, 128, 192, 255].map((i) => 3 * Math.round(from + (to - from) * i / 255));
      return { R: at.map((i) => LUT[name][i]), G: at.map((i) => LUT[name][i + 1]), B: at.map((i) => LUT[name][i + 2]), A: [0, 160, 220, 255, 255], I: [0, 64, 128, 192, 255] };
    };
    nv = new niivue.Niivue({ backColor: [0, 0, 0, 1], crosshairColor: [1, .6, .15, 1], crosshairWidth: .6, isColorbar: true, isNearestInterpolation: true, logLevel: "silent", loadingText: "", multiplanarLayout: 3 });
    await nv.attachToCanvas(canvas, false);
    nv.addColormap("uq_cividis", table("cividis", 0, 255)); nv.addColormap("uq_warm", table("PuOr_r", 140, 255)); nv.addColormap("uq_cool", table("PuOr_r", 115, 0));
    const image = await niivue.NVImage.loadFromFile({ file: nifti(spread("mean"), "mean"), name: "mean.nii", colormap: "gray" });
    nv.addVolume(image);
    nv.volumes[0].cal_min = state.low; nv.volumes[0].cal_max = state.high;
    nv.setSliceType(nv.sliceTypeMultiplanar);
    nv.onLocationChange = (where) => { $("volume-readout").textContent = where.string; };
    await overlay();
    $("overlay").addEventListener("change", overlay);
    $("opacity").addEventListener("input", () => { if (nv.volumes.length > 1) nv.setOpacity(1, +$("opacity").value / 100); });
    shown = nv.volumes;
  }
  if (canvas) {
    const open = async () => {
      try { await openVolume(); canvas.dataset.ready = "yes"; }
      catch (error) { canvas.dataset.ready = "no"; $("volume-readout").textContent = "The volume viewer needs WebGL 2, which this browser does not offer; the slices above show the same data."; console.info(String(error)); }
    };
    new IntersectionObserver((seen, watch) => { if (seen.some((s) => s.isIntersecting)) { watch.disconnect(); open(); } }, { rootMargin: "200px" }).observe(canvas);
  }
  window.uqreport = { state, slide, all, lastMilliseconds: () => last, volumes: () => shown.length };
  document.documentElement.dataset.ready = "yes";
})();
