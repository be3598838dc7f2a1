"use strict";
(() => {
  // A browser shows the frame that lies at or before a time: this is past the rounding of times.
  const BEHIND_SECONDS = 0.001;
  const STILL_PIXELS = 3;
  const NEAR_PIXELS = 8;
  const LARGEST_ZOOM = 64;
  const TICK_PIXELS = 80;
  const TICK_SECONDS = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
    14400, 28800, 86400,
  ];

  function clock(seconds) {
    const total = Math.round(Math.abs(seconds) * 1000);
    const two = (value) => String(Math.floor(value)).padStart(2, "0");
    const sign = seconds < 0 && total ? "-" : "";
    const hours = Math.floor(total / 3600000);
    const rest = `${two((total / 60000) % 60)}:${two((total / 1000) % 60)}`;
    return `${sign}${hours}:${rest}.${String(total % 1000).padStart(3, "0")}`;
  }

  // Elements with their times, in the order of time.
  function sorted(elements) {
    const marks = [...elements].map((mark) => ({ mark, seconds: Number(mark.dataset.seconds) }));
    return marks.sort((a, b) => a.seconds - b.seconds);
  }

  // The place of the first of them that is not before a time.
  function firstFrom(marks, seconds) {
    let [low, high] = [0, marks.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (marks[middle].seconds < seconds) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  class FilmPlayer {
    constructor(article) {
      this.article = article;
      this.start = Number(article.dataset.start);
      this.end = Number(article.dataset.end);
      // A browser keeps the clock of a file, but counts from 0 where that begins earlier.
      this.shift = Math.min(this.start, 0);
      this.frameSeconds = 1 / Number(article.dataset.fps);
      this.seconds = this.start;
      this.zoom = 1;
      this.waiting = false;
      this.find = (name) => article.querySelector(name);
      this.video = this.find("video");
      this.timeline = this.find(".timeline");
      this.marks = sorted(article.querySelectorAll("[data-seconds]"));
      this.stops = sorted(article.querySelectorAll(":not(.faint) > * > [data-seconds]"));
      this.current = [];
      this.listenToButtons();
      this.listenToTimeline();
      if (this.video) this.listenToVideo();
      this.show(this.start);
    }

    listenToButtons() {
      this.find(".play").addEventListener("click", () => this.playOrPause());
      this.find(".back").addEventListener("click", () => this.toStop(-1));
      this.find(".on").addEventListener("click", () => this.toStop(1));
      this.find(".in").addEventListener("click", () => this.zoomTo(this.zoom * 2));
      this.find(".out").addEventListener("click", () => this.zoomTo(this.zoom / 2));
      for (const button of this.article.querySelectorAll(".goto")) {
        button.addEventListener("click", () => this.goTo(Number(button.dataset.seconds)));
      }
      this.zoomTo(1);
    }

    listenToTimeline() {
      const line = this.timeline;
      const move = (event) => this.goTo(this.secondsAt(event));
      let pressed = 0;
      line.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        pressed = event.clientX;
        line.focus({ preventScroll: true });
        line.setPointerCapture(event.pointerId);
        this.goTo(this.markNear(event) ?? this.secondsAt(event));
        event.preventDefault();
      });
      line.addEventListener("pointermove", (event) => {
        // A hand that trembles on a mark does not leave it.
        const dragged = pressed === null || Math.abs(event.clientX - pressed) > STILL_PIXELS;
        if (!line.hasPointerCapture(event.pointerId) || !dragged) return;
        pressed = null;
        move(event);
      });
      line.addEventListener("keydown", (event) => this.pressKey(event));
      new ResizeObserver(() => this.drawTicks()).observe(line);
    }

    secondsAt(event) {
      const box = this.timeline.getBoundingClientRect();
      const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
      return this.start + share * (this.end - this.start);
    }

    // The moment of the nearest mark of a track of moments, if it is near.
    markNear(event) {
      const lane = event.target.closest(".lane.points");
      if (!lane) return undefined;
      const [there, marks] = [this.secondsAt(event), sorted(lane.querySelectorAll("[data-seconds]"))];
      const place = firstFrom(marks, there);
      const away = (each) => Math.abs(each.seconds - there);
      const [nearest] = marks.slice(Math.max(place - 1, 0), place + 1).sort((a, b) => away(a) - away(b));
      const pixelSeconds = (this.end - this.start) / this.timeline.clientWidth;
      return nearest && away(nearest) <= NEAR_PIXELS * pixelSeconds ? nearest.seconds : undefined;
    }

    drawTicks() {
      const length = this.end - this.start;
      const least = (TICK_PIXELS * length) / (this.timeline.clientWidth || 1);
      const step = TICK_SECONDS.find((each) => each >= least) ?? 86400 * Math.ceil(least / 86400);
      const ticks = [];
      for (let number = Math.ceil(this.start / step); number * step < this.end; number += 1) {
        const tick = document.createElement("span");
        tick.textContent = clock(number * step).replace(/^0:0?/, "").replace(/\.000$/, "");
        tick.style.left = `${(100 * (number * step - this.start)) / length}%`;
        ticks.push(tick);
      }
      this.find(".ticks").replaceChildren(...ticks);
    }

    pressKey(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = event.shiftKey ? 1 : this.frameSeconds;
      const actions = {
        ArrowRight: () => this.goTo(this.seconds + step),
        ArrowUp: () => this.goTo(this.seconds + step),
        ArrowLeft: () => this.goTo(this.seconds - step),
        ArrowDown: () => this.goTo(this.seconds - step),
        PageDown: () => this.toStop(1),
        PageUp: () => this.toStop(-1),
        Home: () => this.goTo(this.start),
        End: () => this.goTo(this.end),
        " ": () => this.playOrPause(),
      };
      if (!(event.key in actions)) return;
      actions[event.key]();
      event.preventDefault();
    }

    listenToVideo() {
      const video = this.video;
      video.controls = false;
      video.addEventListener("click", () => this.playOrPause());
      video.addEventListener("error", () => {
        video.hidden = true;
        this.find(".absent").hidden = false;
        this.find(".play").disabled = true;
      });
      video.addEventListener("play", () => {
        this.find(".play").textContent = "Pause";
        this.follow();
      });
      video.addEventListener("pause", () => { this.find(".play").textContent = "Play"; });
      video.addEventListener("loadedmetadata", () => this.moveFilm());
      video.addEventListener("seeked", () => { if (this.waiting) this.moveFilm(); });
    }

    // While the film plays, the playhead follows it.
    follow() {
      if (this.video.paused) return;
      if (!this.video.seeking && !this.waiting) {
        const seconds = this.shift + this.video.currentTime;
        if (seconds >= this.end) this.video.pause();
        this.show(Math.min(Math.max(seconds, this.start), this.end));
      }
      requestAnimationFrame(() => this.follow());
    }

    playOrPause() {
      if (!this.video || this.video.error) return;
      if (this.video.paused) this.video.play().catch(() => {});
      else this.video.pause();
    }

    goTo(seconds) {
      this.show(Math.min(Math.max(seconds, this.start), this.end));
      if (this.video && !this.video.error) this.moveFilm();
    }

    // Only one seek at a time: the last one wanted follows when it has ended.
    moveFilm() {
      this.waiting = this.video.seeking || this.video.readyState === 0;
      if (this.waiting) return;
      this.video.currentTime = this.seconds - this.shift + BEHIND_SECONDS;
    }

    toStop(direction) {
      const near = this.frameSeconds / 2;
      const there = direction > 0
        ? this.stops[firstFrom(this.stops, this.seconds + near)]
        : this.stops[firstFrom(this.stops, this.seconds - near) - 1];
      this.goTo(there ? there.seconds : direction > 0 ? this.end : this.start);
    }

    show(seconds) {
      this.seconds = seconds;
      const text = clock(seconds);
      const share = (seconds - this.start) / (this.end - this.start || 1);
      this.find(".now").textContent = text;
      this.find(".playhead").style.left = `${100 * share}%`;
      this.timeline.setAttribute("aria-valuenow", seconds.toFixed(3));
      this.timeline.setAttribute("aria-valuetext", text);
      this.markCurrent();
      this.keepInSight(share);
    }

    markCurrent() {
      const [low, high] = [this.seconds - this.frameSeconds / 2, this.seconds + this.frameSeconds / 2];
      for (const each of this.current) each.mark.removeAttribute("aria-current");
      this.current = this.marks.slice(firstFrom(this.marks, low), firstFrom(this.marks, high));
      for (const each of this.current) each.mark.setAttribute("aria-current", "time");
    }

    keepInSight(share) {
      const sight = this.find(".window");
      const place = share * sight.scrollWidth;
      if (place < sight.scrollLeft || place > sight.scrollLeft + sight.clientWidth) {
        sight.scrollLeft = place - sight.clientWidth / 2;
      }
    }

    zoomTo(zoom) {
      this.zoom = Math.min(Math.max(zoom, 1), LARGEST_ZOOM);
      this.timeline.style.width = `${100 * this.zoom}%`;
      this.find(".out").disabled = this.zoom === 1;
      this.find(".in").disabled = this.zoom === LARGEST_ZOOM;
      const sight = this.find(".window");
      const share = (this.seconds - this.start) / (this.end - this.start || 1);
      sight.scrollLeft = share * sight.scrollWidth - sight.clientWidth / 2;
    }

    // A browser holds few films open at once.
    open(isOpen) {
      if (!this.video) return;
      if (!isOpen) this.video.pause();
      this.video.preload = isOpen ? "auto" : "none";
    }
  }

  document.documentElement.classList.add("live");
  const articles = [...document.querySelectorAll(".film")];
  const players = new Map();

  // Only films that are looked at get a player: a page may have many, of many marks.
  function choose(name) {
    for (const article of articles) {
      if (article.id === name && !players.has(article)) players.set(article, new FilmPlayer(article));
      article.hidden = article.id !== name;
      players.get(article)?.open(article.id === name);
    }
  }

  const choice = document.getElementById("film-choice");
  const wanted = location.hash.slice(1);
  const first = articles.some((each) => each.id === wanted) ? wanted : "film-1";
  choose(first);
  if (choice) {
    choice.value = first;
    choice.addEventListener("change", () => {
      choose(choice.value);
      history.replaceState(null, "", `#${choice.value}`);
    });
  }
})();
