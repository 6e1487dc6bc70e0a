//! Properties: nothing panics, texts and expressions go round, logic and percentiles agree with plain definitions.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::{Evidence, Expression, Names, Table, Unknown, names, parse, read, unknown};
use crate::language::{
    ERRORS_MAX, Truth,
    expression::{Age, Comparison, Condition, Duration, Fact, Fraction, Node, Number, Target},
    literal::{Literal, Share, read as read_literal},
};

/// What rules are made of, and what people write instead.
const PIECES: &[&str] = &[
    "up",
    "error_rate",
    "requests",
    "p95",
    "p99.9",
    "share",
    "age",
    "proved",
    "deployed",
    "missing",
    "expires",
    "(",
    ")",
    "(",
    ")",
    ",",
    " ",
    " ",
    "shop",
    "api",
    "nightly",
    "shp",
    "pay@staging",
    "\"404-page\"",
    "'",
    "\"",
    "over = 300ms",
    "5m",
    "10s",
    "7d",
    "1%",
    "0.5%",
    "100",
    "1_000",
    "26h",
    "-5m",
    "0.01",
    ">",
    ">=",
    "<",
    "<=",
    "==",
    "!=",
    "=",
    "!",
    "&&",
    "||",
    "and",
    "or",
    "not",
    "AND",
    " and up(shop)",
    " or not up(api)",
    "error_rate(shop, 5m) > 1%",
    "µs",
    "≥",
    "“",
    "”",
    "\0",
    "🦀",
    "é",
    "e\u{301}",
    "\u{202e}",
];

/// Whatever the text: an answer, with places that can be shown.
fn answers(text: &str) {
    match parse(text, &names()) {
        Ok(expression) => {
            let canonical = expression.to_string();
            assert_eq!(
                parse(&canonical, &names()).as_ref(),
                Ok(&expression),
                "{text:?} became {canonical:?}"
            );
            _ = expression.explain(&Table::default());
            _ = expression.evaluate(&Table::default());
            _ = expression.needs();
        }
        Err(errors) => {
            assert!((1..=ERRORS_MAX).contains(&errors.len()));
            for error in errors {
                assert!(
                    text.get(error.at.clone()).is_some(),
                    "{error:?} is no place in {text:?}"
                );
                assert!(!error.message.is_empty() && error.help.as_ref().is_none_or(|help| !help.is_empty()));
            }
        }
    }
}

fn window() -> impl Strategy<Value = SignedDuration> {
    prop_oneof![10_i64..600, Just(604_800), 10_i64..604_800].prop_map(SignedDuration::from_secs)
}

fn latency() -> impl Strategy<Value = SignedDuration> {
    prop_oneof![
        (1_i64..2_000).prop_map(SignedDuration::from_millis),
        (1_i64..86_400_000_000_000).prop_map(SignedDuration::from_nanos)
    ]
}

fn service() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["shop", "api", "api@staging", "pay@staging"]).prop_map(str::to_owned)
}

fn share(text: &str) -> Share {
    match read_literal(text) {
        Ok(Literal::Share(share)) => share,
        other => panic!("{text}: {other:?}"),
    }
}

/// From 0.0000001 % to 99.9999999 %.
fn inner_share() -> impl Strategy<Value = Share> {
    (0_u32..100, 1_u32..10_000_000).prop_map(|(whole, part)| share(&format!("{whole}.{part:07}%")))
}

fn order() -> impl Strategy<Value = Comparison> {
    prop::sample::select(vec![
        Comparison::Above,
        Comparison::AtLeast,
        Comparison::Below,
        Comparison::AtMost,
    ])
}

fn comparison() -> impl Strategy<Value = Comparison> {
    prop_oneof![order(), Just(Comparison::Equal), Just(Comparison::NotEqual)]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        prop::sample::select(vec!["shop", "mail.example", "404-page"]).prop_map(|name| Target::Probe(name.to_owned())),
        prop::sample::select(vec!["api", "pay@staging"]).prop_map(|name| Target::Service(name.to_owned())),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let fraction = prop_oneof![
        (service(), window()).prop_map(|(service, window)| Fraction::Errors { service, window }),
        (service(), latency(), window()).prop_map(|(service, over, window)| Fraction::Over { service, over, window }),
    ];
    let number = (service(), window()).prop_map(|(service, window)| Number::Requests { service, window });
    let percentile =
        (inner_share(), service(), window()).prop_map(|(percentile, service, window)| Duration::Percentile {
            percentile,
            service,
            window,
        });
    let age = prop_oneof![
        prop::sample::select(vec!["nightly", "weekly"]).prop_map(|job| Duration::Age(Age::Proved(job.to_owned()))),
        service().prop_map(|service| Duration::Age(Age::Deployed(service))),
        prop::sample::select(vec!["shop", "404-page"]).prop_map(|probe| Duration::Expires(probe.to_owned())),
    ];
    prop_oneof![
        target().prop_map(|target| Condition::Fact(Fact::Up(target))),
        (target(), window()).prop_map(|(target, window)| Condition::Fact(Fact::Missing(target, window))),
        (fraction, comparison(), inner_share())
            .prop_map(|(fraction, sign, limit)| Condition::Fraction(fraction, sign, limit)),
        (number, comparison(), 1_u64..).prop_map(|(number, sign, limit)| Condition::Number(number, sign, limit)),
        (percentile, order(), latency())
            .prop_map(|(percentile, sign, limit)| Condition::Duration(percentile, sign, limit)),
        (age, order(), latency()).prop_map(|(age, sign, limit)| Condition::Duration(age, sign, limit)),
    ]
}

/// A tree in the form in which texts are read: no `or` in `or`, no `and` in `and`.
fn tree(leaf: impl Strategy<Value = Node> + 'static) -> impl Strategy<Value = Node> {
    let taken_in = |parts: Vec<Node>, several: fn(Vec<Node>) -> Node, inner: fn(&Node) -> Option<&Vec<Node>>| {
        several(
            parts
                .into_iter()
                .flat_map(|part| inner(&part).cloned().unwrap_or_else(|| vec![part]))
                .collect(),
        )
    };
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let or = prop::collection::vec(inner.clone(), 2..4).prop_map(move |parts| {
            taken_in(parts, Node::Or, |node| {
                if let Node::Or(parts) = node { Some(parts) } else { None }
            })
        });
        let and = prop::collection::vec(inner.clone(), 2..4).prop_map(move |parts| {
            taken_in(parts, Node::And, |node| {
                if let Node::And(parts) = node { Some(parts) } else { None }
            })
        });
        prop_oneof![or, and, inner.prop_map(|node| Node::Not(Box::new(node)))]
    })
}

/// What a tree says by the plain definition: every part is asked, and combined in pairs.
fn plainly(node: &Node, evidence: &Switches) -> Truth {
    match node {
        Node::Or(parts) => parts
            .iter()
            .fold(Truth::False, |said, part| said.or(plainly(part, evidence))),
        Node::And(parts) => parts
            .iter()
            .fold(Truth::True, |said, part| said.and(plainly(part, evidence))),
        Node::Not(inner) => !plainly(inner, evidence),
        Node::Leaf(condition) => condition.judge(evidence).map_or(Truth::Unknown, Truth::from),
    }
}

/// Probes `0` to `7`, each up, down or unknown.
#[derive(Clone, Debug)]
struct Switches([Option<bool>; 8]);

impl Evidence for Switches {
    fn up(&self, name: &str) -> Result<bool, Unknown> {
        self.0[name.parse::<usize>().unwrap()].map_or_else(|| unknown("open"), Ok)
    }

    fn requests(&self, _: &str, _: SignedDuration) -> Result<u64, Unknown> {
        unknown("not asked")
    }

    fn errors(&self, _: &str, _: SignedDuration) -> Result<(u64, u64), Unknown> {
        unknown("not asked")
    }

    fn over(&self, _: &str, _: SignedDuration, _: SignedDuration) -> Result<(u64, u64), Unknown> {
        unknown("not asked")
    }

    fn proof_age(&self, _: &str) -> Result<SignedDuration, Unknown> {
        unknown("not asked")
    }

    fn deployed_age(&self, _: &str) -> Result<SignedDuration, Unknown> {
        unknown("not asked")
    }

    fn silent_for(&self, _: &str) -> Result<SignedDuration, Unknown> {
        unknown("not asked")
    }

    fn expires_in(&self, _: &str) -> Result<SignedDuration, Unknown> {
        unknown("not asked")
    }
}

fn switch() -> impl Strategy<Value = Node> {
    (0_usize..8).prop_map(|probe| Node::Leaf(Condition::Fact(Fact::Up(Target::Probe(probe.to_string())))))
}

fn switches() -> impl Strategy<Value = Switches> {
    prop::array::uniform8(prop::option::of(any::<bool>())).prop_map(Switches)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gets_an_answer(text in any::<String>()) {
        answers(&text);
    }

    #[test]
    fn any_mixture_of_words_gets_an_answer(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        answers(&pieces.concat());
        answers(&pieces.join(" "));
    }

    #[test]
    fn a_good_text_with_a_hole_gets_an_answer(from in 0_usize..80, length in 0_usize..12) {
        let text = "error_rate(shop, 5m) > 1% and (not up(\"404-page\") or p99.9(api, 1h30m) <= 300ms)";
        answers(&text.chars().enumerate().filter(|(at, _)| !(from..from + length).contains(at)).map(|(_, c)| c).collect::<String>());
    }

    #[test]
    fn expressions_go_round(node in tree(condition().prop_map(Node::Leaf))) {
        let expression = Expression(node);
        let text = expression.to_string();
        prop_assert_eq!(parse(&text, &names()), Ok(expression), "{}", text);
    }

    #[test]
    fn literals_go_round(nanos in 0_i64..i64::MAX / 4, share in inner_share(), count in any::<u64>()) {
        for literal in [Literal::Duration(SignedDuration::from_nanos(nanos)), Literal::Share(share), Literal::Count(count)] {
            prop_assert_eq!(read_literal(&literal.to_string()), Ok(literal));
        }
    }

    #[test]
    fn evaluation_is_the_logic_of_kleene(node in tree(switch()), evidence in switches()) {
        let plain = plainly(&node, &evidence);
        prop_assert_eq!(Expression(node).evaluate(&evidence), plain);
    }

    /// What is decided although something is unknown stays decided, whatever the unknown turns out to be.
    #[test]
    fn the_unknown_cannot_change_a_decision(node in tree(switch()), evidence in switches(), filled in any::<[bool; 8]>()) {
        let expression = Expression(node);
        let decided = expression.evaluate(&evidence);
        let mut known = evidence;
        known.0.iter_mut().zip(filled).for_each(|(switch, value)| *switch = switch.or(Some(value)));
        let later = expression.evaluate(&known);
        prop_assert!(later != Truth::Unknown && (decided == Truth::Unknown || decided == later));
    }

    /// `p95 > 300ms` means what the definition of a percentile says (nearest rank), and the same as `share(…) > 5%`.
    #[test]
    fn percentiles_are_shares(
        latencies in prop_oneof![
            prop::collection::vec(1_i64..200, 1..400),
            // Where shares meet the limit exactly.
            prop::collection::vec(1_i64..6, 20),
        ],
        limit in prop_oneof![1_i64..200, 1_i64..6],
        tenths in prop_oneof![1_usize..1000, (1_usize..20).prop_map(|twentieths| twentieths * 50)],
    ) {
        let mut sorted = latencies.clone();
        sorted.sort_unstable();
        let rank = (tenths * sorted.len()).div_ceil(1000);
        let percentile = sorted[rank - 1];
        let millisecond = 1_000_000;
        let evidence = Table { latencies: latencies.iter().map(|latency| latency * millisecond).collect(), ..Table::default() };

        let (name, rest) = (format!("p{}.{}", tenths / 10, tenths % 10), 1000 - tenths);
        let share = |sign: &str| format!("share(shop, over = {limit}ms, 5m) {sign} {}.{}%", rest / 10, rest % 10);
        let by_rank = |sign: &str| read(&format!("{name}(shop, 5m) {sign} {limit}ms")).evaluate(&evidence);
        prop_assert_eq!(by_rank(">"), Truth::from(percentile > limit));
        prop_assert_eq!(by_rank("<="), Truth::from(percentile <= limit));
        prop_assert_eq!(by_rank(">"), read(&share(">")).evaluate(&evidence));
        prop_assert_eq!(by_rank("<="), read(&share("<=")).evaluate(&evidence));
        // Of a request of exactly the limit `<` and `>=` say what `<=` and `>` say.
        prop_assert_eq!(by_rank("<"), by_rank("<="));
        prop_assert_eq!(by_rank(">="), by_rank(">"));
    }

    #[test]
    fn shares_are_compared_as_fractions(part in any::<u64>(), whole in 1_u64.., hundredths in 1_u32..10_000) {
        let limit = share(&format!("{}.{:02}%", hundredths / 100, hundredths % 100));
        let plain = (i128::from(part) * 10_000).cmp(&(i128::from(hundredths) * i128::from(whole)));
        prop_assert_eq!(limit.order(part, whole), plain);
    }
}

#[test]
fn an_unknown_condition_does_not_hide_a_decision() {
    let digits: Vec<String> = (0..8).map(|probe| probe.to_string()).collect();
    let names = Names {
        probes: digits.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        ..Names::default()
    };
    let expression = parse("up(\"0\") and not up(\"7\")", &names).unwrap();
    let mut evidence = Switches([None; 8]);
    evidence.0[7] = Some(true);
    assert_eq!(expression.evaluate(&evidence), Truth::False);
}
