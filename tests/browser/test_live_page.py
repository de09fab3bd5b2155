"""The live run of chapter 01 as a reader meets it: sliders, start, pause, stop, keep, start anew, and errors."""

CHAPTER = "01_grokking.ipynb"
LIVE = ".gb-live"
VALIDATION = {"metric": "val_acc", "role": "line"}


def number(text: str) -> int:
    """The number at the end of a text such as "Paused at step 1,234"."""
    return int(text.split()[-1].replace(",", ""))


def test_train_pause_stop_keep_and_train_another(open_notebook, request):
    chapter = open_notebook(CHAPTER)
    chapter.run_all()
    named = chapter.run("print(f'd_h {config.d_h}, D_train {config.D_train}')").strip()
    assert chapter.plot(LIVE)["title"].startswith(named)
    assert [chapter.slide(f".gb-{name}", key) for name, key in (
        ("d_h", "Home"), ("D_train", "Home"), ("n_seeds", "ArrowRight"), ("n_steps", "End"))
    ] == ["4", "500", "2", "100,000"]

    chapter.click(".gb-start")
    chapter.wait_for(".gb-status", r"^Step [\d,]+ of 100,000, [\d,]+ a second, at most \d+ \w+ left$")
    before = chapter.wait_for_points(LIVE, 60, **VALIDATION)
    assert chapter.plot(LIVE)["title"].startswith("d_h 4, D_train 500")
    assert chapter.run("print(live.phase, len(live.runs))") == "training 2\n"  # the kernel is free
    chapter.wait_for_points(LIVE, before, **VALIDATION)
    chapter.look(LIVE, request.node.name)

    chapter.click(".gb-pause")
    paused = number(chapter.wait_for(".gb-status", r"^Paused at step [\d,]+$"))
    chapter.wait_for_x(LIVE, paused)
    assert chapter.run("import time\ntime.sleep(1)\nprint(live.runs[0].last_step)") == f"{paused}\n"
    points = len(chapter.curve(LIVE, **VALIDATION))
    chapter.click(".gb-pause")
    chapter.wait_for_points(LIVE, points, **VALIDATION)

    chapter.click(".gb-stop")
    stopped = number(chapter.wait_for(".gb-status", r"^Stopped at step [\d,]+$"))
    assert stopped > paused
    chapter.wait_for_x(LIVE, stopped)
    chapter.click(".gb-keep")
    chapter.wait_for(".gb-note", r"^2 runs added. Read them with gb.load\('live', store='my-runs'\)$")
    kept = "kept = gb.load('live', store='my-runs', d_h=4, D_train=500)\n" \
        "print(kept.sizes['seed'], int(kept.last_step.max()))"
    assert chapter.run(kept) == f"2 {stopped}\n"

    assert chapter.slide(".gb-d_h", "ArrowRight") == "8"
    chapter.click(".gb-start")
    chapter.wait_for(".gb-status", r"^Step ")
    chapter.page.wait_for_function("where => book.plot(where).title.startsWith('d_h 8, D_train 500')", arg=LIVE)
    chapter.click(".gb-start")  # anew while it trains: one ends, the next begins
    chapter.click(".gb-stop")
    assert number(chapter.wait_for(".gb-status", r"^Stopped at step [\d,]+$")) < 100_000


def test_a_busy_kernel_trains_what_the_sliders_show(open_notebook):
    chapter = open_notebook(CHAPTER)
    chapter.run("import grokbook as gb\nlive = gb.widgets.LiveRun(gb.RunConfig(d_h=8, D_train=2000))\nlive")
    chapter.plot(LIVE)
    chapter.begin("import time\ntime.sleep(4)")
    for said in ("1,500", "1,000", "500"):
        assert chapter.slide(".gb-D_train", "ArrowLeft") == said
    chapter.click(".gb-start")
    chapter.wait_for(".gb-status", "^Step ")
    assert chapter.plot(LIVE)["title"].startswith("d_h 8, D_train 500")
    chapter.click(".gb-stop")


def test_an_error_is_read_in_the_widget(open_notebook, request):
    chapter = open_notebook(CHAPTER)
    chapter.run("import grokbook as gb\n"
                "live = gb.widgets.LiveRun(gb.RunConfig(d_h=8, D_train=500, parent='0123456789abcdef@5'))\nlive")
    chapter.plot(LIVE)
    chapter.click(".gb-start")
    chapter.wait_for(".gb-note", "^This cannot be trained: parent='0123456789abcdef@5' has no weights here; pass ")
    chapter.wait_for(".gb-status", "^Ended at step 0$")
    chapter.look(LIVE, request.node.name)
