"""The scorecard in one picture."""

from textwrap import wrap

import plotly.graph_objects as go

from grokbook.claims.card import COLORS, WORDS, Card, tally
from grokbook.plots.template import frame


def verdicts(cards: list[Card]) -> go.Figure:
    """How many claims of each source came to each verdict, as bars; `cards` as `claims.judge_all` gives them."""
    counts = tally(cards)[::-1]
    papers = ["<br>".join(wrap(str(paper), 24)) for paper in counts.index]
    fig = go.Figure([go.Bar(
        y=papers, x=counts[str(word)], name=word, orientation="h", marker={"color": COLORS[word]},
        text=[count or "" for count in counts[str(word)]], textposition="inside", insidetextanchor="middle",
        textangle=0, textfont={"color": "white"}, meta={"verdict": word},
        customdata=["<br>".join(card.claim.id for card in cards
                                if (card.claim.paper, card.word) == (paper, word))
                    for paper in counts.index],
        hovertemplate=f"{word}:<br>%{{customdata}}<extra></extra>") for word in WORDS])
    fig.update_layout(barmode="stack", bargap=0.25, legend_traceorder="normal")
    fig.update_xaxes(title_text="claims", rangemode="tozero")
    fig.update_yaxes(automargin=True)
    return frame(fig, title="What became of the claims", plot_height=44 * len(counts) + 20, left=100,
                 caption=f"n = {len(cards)} claims, each judged once, by the runs that are stored.")
