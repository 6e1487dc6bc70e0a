//! Spans as one tree, whatever was sent: missing parents, loops and ids that come twice included.

use std::collections::{BTreeMap, BTreeSet};

use events::{LogRecord, SpanId, SpanRecord};

/// Children of one span that are shown before the rest is counted.
const CHILDREN_MAX: usize = 30;
/// Further children that are shown because something failed in them.
const FAILED_MAX: usize = 10;

/// Why a span stands at the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Top {
    /// It has no parent.
    Root,
    /// Its parent is not there.
    Orphan,
    /// Its parents lead back to itself.
    Loop,
}

/// One row of the tree, in the order of showing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// A span.
    Span {
        /// Its place among the spans.
        span: usize,
        /// Whether each span above it, the top one left out, is the last of its siblings; then the span itself.
        last: Vec<bool>,
        /// Why it stands at the top, if it does.
        top: Option<Top>,
    },
    /// Children that are not shown.
    More {
        /// How many spans there are, with all beneath them.
        spans: usize,
        /// As in a span's row.
        last: Vec<bool>,
    },
}

impl Row {
    /// How many spans it stands for.
    pub(crate) fn spans(&self) -> usize {
        match self {
            Self::Span { .. } => 1,
            Self::More { spans, .. } => *spans,
        }
    }
}

/// The tree.
pub(crate) struct Tree {
    children: Vec<Vec<usize>>,
    tops: Vec<(usize, Top)>,
    /// Spans beneath each, itself included.
    sizes: Vec<usize>,
    /// Whether something failed in it or beneath it.
    failed: Vec<bool>,
}

impl Tree {
    /// Orders the spans: siblings by their start.
    pub(crate) fn new(spans: &[SpanRecord]) -> Self {
        let mut by_id: BTreeMap<SpanId, usize> = BTreeMap::new();
        for (place, span) in spans.iter().enumerate() {
            by_id.entry(span.span).or_insert(place);
        }
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
        let mut tops = Vec::new();
        for (place, span) in spans.iter().enumerate() {
            match span.parent.map(|parent| by_id.get(&parent)) {
                None => tops.push((place, Top::Root)),
                Some(None) => tops.push((place, Top::Orphan)),
                Some(Some(parent)) => children
                    .get_mut(*parent)
                    .into_iter()
                    .for_each(|children| children.push(place)),
            }
        }
        let order = |place: &usize| spans.get(*place).map(|span| (span.start, span.span, *place));
        for children in &mut children {
            children.sort_by_key(order);
        }
        tops.sort_by_key(|(place, top)| (*top != Top::Root, order(place)));
        let mut tree = Self {
            children,
            tops,
            sizes: vec![1; spans.len()],
            failed: spans.iter().map(SpanRecord::is_bad).collect(),
        };
        tree.break_loops(spans);
        tree.measure();
        tree
    }

    /// What no top reaches goes in a ring: its first span is put at the top.
    fn break_loops(&mut self, spans: &[SpanRecord]) {
        let mut seen = vec![false; spans.len()];
        for (top, _) in self.tops.clone() {
            self.reach(top, &mut seen);
        }
        let mut rest: Vec<usize> = (0..spans.len()).collect();
        rest.sort_by_key(|place| spans.get(*place).map(|span| (span.start, span.span, *place)));
        for place in rest {
            if seen.get(place) == Some(&false) {
                self.children
                    .iter_mut()
                    .for_each(|children| children.retain(|child| *child != place));
                self.tops.push((place, Top::Loop));
                self.reach(place, &mut seen);
            }
        }
    }

    fn reach(&self, top: usize, seen: &mut [bool]) {
        let mut waiting = vec![top];
        while let Some(place) = waiting.pop() {
            if let Some(seen) = seen.get_mut(place).filter(|seen| !**seen) {
                *seen = true;
                waiting.extend(self.children_of(place));
            }
        }
    }

    fn children_of(&self, place: usize) -> &[usize] {
        self.children.get(place).map_or(&[], Vec::as_slice)
    }

    /// Sizes and failures from the leaves upwards, without recursion: a tree may be as deep as it has spans.
    fn measure(&mut self) {
        let mut order = Vec::new();
        let mut waiting: Vec<usize> = self.tops.iter().map(|(place, _)| *place).collect();
        while let Some(place) = waiting.pop() {
            order.push(place);
            waiting.extend(self.children_of(place));
        }
        for place in order.into_iter().rev() {
            let children = self.children_of(place);
            let size = 1 + children
                .iter()
                .filter_map(|child| self.sizes.get(*child))
                .sum::<usize>();
            let failed = children.iter().any(|child| self.failed.get(*child) == Some(&true));
            self.sizes.get_mut(place).into_iter().for_each(|own| *own = size);
            self.failed.get_mut(place).into_iter().for_each(|own| *own |= failed);
        }
    }

    /// The rows, at most so many spans; of many children the first, and those in which something failed.
    pub(crate) fn rows(&self, most: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut shown = 0;
        let (tops, hidden) = self.chosen(&self.tops.iter().map(|(place, _)| *place).collect::<Vec<_>>());
        let why: BTreeMap<usize, Top> = self.tops.iter().copied().collect();
        // A row that waits: a span, or a number of spans that are left out.
        let mut waiting: Vec<(Option<usize>, usize, Vec<bool>)> = Vec::new();
        if hidden > 0 {
            waiting.push((None, hidden, Vec::new()));
        }
        waiting.extend(tops.iter().rev().map(|top| (Some(*top), 0, Vec::new())));
        while let Some((place, hidden, last)) = waiting.pop() {
            let Some(span) = place else {
                rows.push(Row::More { spans: hidden, last });
                continue;
            };
            if shown == most {
                let left = self.sizes.get(span).copied().unwrap_or(1);
                let rest: usize = waiting
                    .iter()
                    .map(|(place, hidden, _)| {
                        place.map_or(*hidden, |place| self.sizes.get(place).copied().unwrap_or(1))
                    })
                    .sum();
                rows.push(Row::More {
                    spans: left + rest,
                    last: Vec::new(),
                });
                break;
            }
            shown += 1;
            rows.push(Row::Span {
                span,
                last: last.clone(),
                top: last.is_empty().then(|| why.get(&span).copied()).flatten(),
            });
            self.push_children(span, &last, &mut waiting);
        }
        rows
    }

    fn push_children(&self, span: usize, above: &[bool], waiting: &mut Vec<(Option<usize>, usize, Vec<bool>)>) {
        let (children, hidden) = self.chosen(self.children_of(span));
        let at = |is_last: bool| above.iter().copied().chain([is_last]).collect::<Vec<bool>>();
        if hidden > 0 {
            waiting.push((None, hidden, at(true)));
        }
        for (place, child) in children.iter().enumerate().rev() {
            let is_last = hidden == 0 && place + 1 == children.len();
            waiting.push((Some(*child), 0, at(is_last)));
        }
    }

    /// The siblings to show, and how many spans that leaves out.
    fn chosen(&self, all: &[usize]) -> (Vec<usize>, usize) {
        let is_failed = |place: &&usize| self.failed.get(**place) == Some(&true);
        let first = all.iter().take(CHILDREN_MAX);
        let failed = all.iter().skip(CHILDREN_MAX).filter(is_failed).take(FAILED_MAX);
        let chosen: BTreeSet<usize> = first.chain(failed).copied().collect();
        let hidden = all
            .iter()
            .filter(|place| !chosen.contains(place))
            .filter_map(|place| self.sizes.get(*place))
            .sum();
        (
            all.iter().filter(|place| chosen.contains(place)).copied().collect(),
            hidden,
        )
    }
}

/// Logs by the span they belong to; those of no span that is there come under `None`.
pub(crate) fn logs_by_span<'a>(
    spans: &[SpanRecord],
    logs: &'a [LogRecord],
) -> BTreeMap<Option<SpanId>, Vec<&'a LogRecord>> {
    let known: BTreeSet<SpanId> = spans.iter().map(|span| span.span).collect();
    let mut by_span: BTreeMap<Option<SpanId>, Vec<&LogRecord>> = BTreeMap::new();
    for log in logs {
        by_span
            .entry(log.span.filter(|span| known.contains(span)))
            .or_default()
            .push(log);
    }
    for logs in by_span.values_mut() {
        logs.sort_by_key(|log| log.time);
    }
    by_span
}
