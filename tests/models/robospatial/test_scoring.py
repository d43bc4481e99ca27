"""Both scorers against written-out cases and independent geometry; the report against exact binomial sums."""

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from spatial_models.robospatial.answering import ServerAnswerer, ServerError
from spatial_models.robospatial.evaluate import Evaluate, main, read_questions, scored
from spatial_models.robospatial.report import markdown, summary, wilson
from spatial_models.robospatial.scoring import crosses, score, within

SQUARE = "[(0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6)]"
BOW_TIE = "[(0.2, 0.2), (0.6, 0.6), (0.6, 0.2), (0.2, 0.6)]"


@pytest.mark.parametrize(
    ("expected", "answer", "official", "strict"),
    [
        ("Yes", "Yes.", True, True),
        ("Yes", "**Yes**", False, True),
        ("Yes", "The answer is yes", False, True),
        ("No", "Not sure", True, False),
        ("No", "no", True, True),
        ("Yes", "", False, False),
        ("No", "No, yes, it is there", True, False),
        ("No", "I know nothing", False, False),
        (SQUARE, "(0.4, 0.4)", True, True),
        (SQUARE, "[(0.4, 0.4), (0.9, 0.9)]", True, False),
        (SQUARE, "see figure (1, 2): (0.4, 0.4)", False, False),
        (SQUARE, "[0.4, 0.3]", True, True),
        (SQUARE, "[[0.4, 0.3], [0.5, 0.5]]", True, True),
        (SQUARE, "(0.9, 0.9) or (0.4, 0.4)", False, False),
        (SQUARE, "nowhere", False, False),
        (SQUARE, "(-0.4, 0.4)", False, False),
        # In the hull, not in the polygon of the stored order.
        (BOW_TIE, "(0.4, 0.25)", False, True),
        ("[(0.2, 0.2), (0.6, 0.2)]", "(0.4, 0.2)", False, False),
    ],
)
def test_written_out_cases(expected, answer, official, strict):
    assert score(expected, answer, "official").right is official
    assert score(expected, answer, "strict").right is strict


def test_points_in_another_order_or_unit_are_wrong_and_named():
    low = "[(0.1, 0.7), (0.3, 0.7), (0.3, 0.9), (0.1, 0.9)]"
    assert score(low, "(0.8, 0.2)", "strict").note == "y before x"
    assert score(low, "(20, 80)", "strict").note == "percent"
    assert score(low, "(128, 384)", "strict", size=(640, 480)).note == "pixels"
    assert not score(low, "(128, 384)", "strict", size=(640, 480)).right


def test_the_mask_decides_where_there_is_one():
    mask = np.zeros((10, 20), bool)
    mask[8, 3] = True
    assert score(SQUARE, "(0.175, 0.85)", "strict", mask).right
    assert not score(SQUARE, "(0.4, 0.4)", "strict", mask).right


def test_even_odd_is_the_winding_of_a_simple_polygon():
    rng = np.random.default_rng(0)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 9))
    polygon = [
        (0.5 + r * math.cos(a), 0.5 + r * math.sin(a))
        for a, r in zip(angle, rng.uniform(0.1, 0.4, 9), strict=True)
    ]
    for point in rng.random((400, 2)):
        turn = 0.0
        for a, b in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
            u, v = complex(*a) - complex(*point), complex(*b) - complex(*point)
            turn += math.atan2((v / u).imag, (v / u).real)
        assert crosses((point[0], point[1]), polygon) == (abs(turn) > math.pi)


def test_the_hull_is_that_of_all_triangles():
    rng = np.random.default_rng(1)
    corners = rng.uniform(0.2, 0.8, (6, 2))

    def in_triangle(p, a, b, c):
        turns = [np.cross([*(v - u), 0], [*(p - u), 0])[2] for u, v in ((a, b), (b, c), (c, a))]
        return all(t >= 0 for t in turns) or all(t <= 0 for t in turns)

    points = rng.random((200, 2))
    wanted = [
        any(in_triangle(p, *corners[[i, j, k]]) for i in range(6) for j in range(i) for k in range(j))
        for p in points
    ]
    assert within(points, [tuple(c) for c in corners.tolist()]).tolist() == wanted


@pytest.mark.parametrize(("right", "count"), [(0, 10), (3, 10), (86, 123), (105, 105)])
def test_wilson_solves_its_equation(right, count):
    share = right / count
    for bound in wilson(right, count):
        if 0.0 < bound < 1.0:
            assert abs(share - bound) == pytest.approx(
                1.959963984540054 * math.sqrt(bound * (1 - bound) / count)
            )
    assert wilson(0, 0) == (0.0, 1.0)


def home(folder):
    """A file in the layout of RoboSpatial-Home, with pictures and a mask."""
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / "a.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 10:40] = 255
    Image.fromarray(mask).save(folder / "m.png")
    rows = [
        {"category": "configuration", "question": "Is A left of B?", "answer": "Yes", "img": "a.png"},
        {"category": "compatibility", "question": "Can A fit left of B?", "answer": "No", "img": "a.png"},
        {"category": "context", "question": "Where?", "answer": SQUARE, "img": "a.png", "mask": "m.png"},
    ]
    (folder / "home.json").write_text(json.dumps(rows))
    return folder / "home.json"


def test_missing_answers_count_in_strict_mode_alone(tmp_path):
    questions = read_questions(home(tmp_path))
    answers = [{"question": "Is A left of B?", "img": "a.png", "answer": "yes"}]
    official, strict = (summary(scored(questions, answers, mode), mode) for mode in ("official", "strict"))
    assert (official["micro"]["count"], official["micro"]["accuracy"]) == (1, 1.0)
    assert (strict["micro"]["right"], strict["micro"]["count"], strict["missing"]) == (1, 3, 2)
    assert "| configuration | 1 | 1 | 100.0 |" in markdown("x", [strict])


@pytest.fixture
def server():
    """An OpenAI-compatible server on loopback; says yes, or what its owner wants."""
    asked, reply = [], {"status": 200, "body": None}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, dict(self.headers), body))
            text = "(0.3, 0.3)" if "Where" in body["messages"][0]["content"][1]["text"] else "Yes"
            said = reply["body"] or {"choices": [{"message": {"content": text}}]}
            self.send_response(reply["status"])
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}/v1", asked, reply
    httpd.shutdown()
    httpd.server_close()


def test_a_server_is_asked_and_scored(server, tmp_path):
    url, asked, _ = server
    out = tmp_path / "out"
    assert main(Evaluate(home(tmp_path), out, "server", "some-model", url)) == 0
    record = json.loads((out / "report.json").read_text())
    shares = {s["mode"]: {k: v["right"] for k, v in s["categories"].items()} for s in record["scores"]}
    assert shares["official"] == shares["strict"] == {"compatibility": 0, "configuration": 1, "context": 1}
    path, _, body = asked[0]
    assert path == "/v1/chat/completions" and body["model"] == "some-model" and body["temperature"] == 0
    assert body["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    # Recorded answers score the same.
    again = tmp_path / "again"
    assert main(Evaluate(tmp_path / "home.json", again, "answers", str(out / "answers.jsonl"))) == 0
    assert json.loads((again / "report.json").read_text())["scores"] == record["scores"]


def test_what_is_wrong_with_a_server_is_said(server):
    url, _, reply = server
    picture = np.zeros((4, 4, 3), np.uint8)
    reply["status"], reply["body"] = 404, {"error": "no such model"}
    with pytest.raises(ServerError, match=r"answered 404: .*no such model"):
        ServerAnswerer(url, "m")([picture], ["?"])
    reply["status"], reply["body"] = 200, {"result": 1}
    with pytest.raises(ServerError, match="without choices"):
        ServerAnswerer(url, "m")([picture], ["?"])
    with pytest.raises(ServerError, match="does not answer"):
        ServerAnswerer("http://127.0.0.1:9/v1", "m", timeout=2.0)([picture], ["?"])


def test_questions_that_cannot_be_read_are_named(tmp_path, capsys):
    (tmp_path / "q.json").write_text('[{"question": "?"}]')
    assert main(Evaluate(tmp_path / "q.json", tmp_path / "out")) == 2
    assert "expected category (or family)" in capsys.readouterr().err
