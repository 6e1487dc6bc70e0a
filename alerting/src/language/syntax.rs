//! From tokens to a tree, without types or names. A mistake is told, becomes a hole, and reading goes on behind it.

use std::ops::Range;

use super::{
    NESTING_MAX,
    error::{Report, closest},
    expression::Comparison,
    functions,
    lexer::{Spanned, Token},
    literal::Literal,
};

/// The words that join two conditions.
const JOINING: [&str; 2] = ["and", "or"];

#[derive(Debug)]
pub(super) struct Syntax<'a> {
    pub(super) at: Range<usize>,
    pub(super) kind: Kind<'a>,
}

#[derive(Debug)]
pub(super) enum Kind<'a> {
    Or(Vec<Syntax<'a>>),
    And(Vec<Syntax<'a>>),
    Not(Box<Syntax<'a>>),
    Compare(Box<Syntax<'a>>, Comparison, Box<Syntax<'a>>),
    Call(Call<'a>),
    Name(&'a str),
    Literal(Literal),
    /// A hole: something that was told already.
    Broken,
}

#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) name_at: Range<usize>,
    pub(super) arguments: Vec<Argument<'a>>,
    /// The arguments could not be read, which was told.
    pub(super) broken: bool,
}

#[derive(Debug)]
pub(super) struct Argument<'a> {
    pub(super) name: Option<(&'a str, Range<usize>)>,
    pub(super) value: Syntax<'a>,
}

/// Reads a whole text. The tree is whole only if nothing was reported.
pub(super) fn tree<'a>(text: &'a str, tokens: &[Spanned<'a>], report: &mut Report) -> Syntax<'a> {
    let mut parser = Parser {
        text,
        tokens: tokens.iter(),
        depth: 0,
        given_up: false,
        report,
    };
    let mut parts = vec![parser.or()];
    while let Some(token) = parser.tokens.next() {
        // `or` stops early only in front of a parenthesis that nothing opened.
        parser.tell(token.at.clone(), "nothing is open that this `)` could close");
        parts.extend(parser.or_rest());
    }
    gathered(parts, Kind::And)
}

struct Parser<'a, 't, 'r> {
    text: &'a str,
    tokens: std::slice::Iter<'t, Spanned<'a>>,
    depth: usize,
    /// Too deep: nothing behind is worth a word.
    given_up: bool,
    report: &'r mut Report,
}

impl<'a, 't> Parser<'a, 't, '_> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.as_slice().first().map(|spanned| spanned.token)
    }

    fn next_if(&mut self, wanted: Token<'a>) -> Option<&'t Spanned<'a>> {
        if self.peek() == Some(wanted) {
            self.tokens.next()
        } else {
            None
        }
    }

    fn tell(&mut self, at: Range<usize>, message: impl Into<String>) {
        if !self.given_up {
            self.report.add(at, message);
        }
    }

    fn advise(&mut self, at: Range<usize>, message: &str, help: &str) {
        if !self.given_up {
            self.report.advise(at, message, help);
        }
    }

    /// Where the next token stands; the end of the text when there is none.
    fn here(&self) -> Range<usize> {
        self.tokens
            .as_slice()
            .first()
            .map_or(self.text.len()..self.text.len(), |spanned| spanned.at.clone())
    }

    fn source(&self, at: &Range<usize>) -> &'a str {
        self.text.get(at.clone()).unwrap_or_default()
    }

    /// What stands next, in words.
    fn found(&self) -> String {
        if self.peek().is_some() {
            format!("`{}`", self.source(&self.here()))
        } else {
            "the end".to_owned()
        }
    }

    fn broken(at: Range<usize>) -> Syntax<'a> {
        Syntax { at, kind: Kind::Broken }
    }

    /// Runs one level deeper; too deep, the rest of the text is given up.
    fn deeper(&mut self, at: &Range<usize>, inner: impl FnOnce(&mut Self) -> Syntax<'a>) -> Syntax<'a> {
        if self.depth >= NESTING_MAX {
            self.tell(at.clone(), format!("nested deeper than {NESTING_MAX}"));
            self.tokens = [].iter();
            self.given_up = true;
            return Self::broken(at.clone());
        }
        self.depth += 1;
        let parsed = inner(self);
        self.depth -= 1;
        parsed
    }

    fn or(&mut self) -> Syntax<'a> {
        let first = self.and();
        let mut parts = vec![first];
        while self.next_if(Token::Or).is_some() {
            parts.push(self.and());
        }
        gathered(parts, Kind::Or)
    }

    fn and(&mut self) -> Syntax<'a> {
        let first = self.not();
        let mut parts = vec![first];
        loop {
            match self.peek() {
                None | Some(Token::Or | Token::Close) => return gathered(parts, Kind::And),
                Some(Token::And) => {
                    self.tokens.next();
                    parts.push(self.not());
                }
                Some(_) => {
                    if let Some(part) = self.misplaced() {
                        parts.push(part);
                    }
                }
            }
        }
    }

    /// Something stands where only `and`, `or`, `)` or the end can.
    fn misplaced(&mut self) -> Option<Syntax<'a>> {
        let at = self.here();
        match self.peek()? {
            Token::Broken => {
                self.tokens.next();
                None
            }
            Token::Comma => {
                self.tokens.next();
                self.advise(
                    at,
                    "unexpected `,`",
                    "commas stand between arguments only; 1,000 is written `1000` or `1_000`",
                );
                if matches!(self.peek(), Some(Token::Literal(_))) {
                    self.tokens.next();
                }
                None
            }
            Token::Compare(_) | Token::Assign => {
                self.advise(
                    at.clone(),
                    "comparisons cannot be chained",
                    "write two comparisons and `and` between them",
                );
                self.tokens.next();
                self.operand();
                Some(Self::broken(at))
            }
            Token::Word(word) if self.joins(word) => {
                let message = format!("expected `and` or `or`, found `{word}`");
                match closest(word, JOINING) {
                    Some(meant) => self.advise(at, &message, &format!("did you mean `{meant}`?")),
                    None => self.tell(at, message),
                }
                self.tokens.next();
                Some(self.not())
            }
            _ => {
                self.tell(at, format!("expected `and` or `or` before {}", self.found()));
                Some(self.not())
            }
        }
    }

    /// Whether the word that stands next was meant to join two conditions: it is no call, and a condition follows.
    fn joins(&self, word: &str) -> bool {
        match self.second() {
            Some(Token::Word(_) | Token::Quoted(_) | Token::Literal(_) | Token::Not) => true,
            // `andd (up(shop) or up(api))` reads like a call.
            Some(Token::Open) => functions::find(word).is_none() && closest(word, JOINING).is_some(),
            _ => false,
        }
    }

    /// What stands behind the next token.
    fn second(&self) -> Option<Token<'a>> {
        self.tokens.as_slice().get(1).map(|spanned| spanned.token)
    }

    /// Eats a word that was meant to be `not`: told once, and taken for it.
    fn misspelt_not(&mut self) -> Option<&'t Spanned<'a>> {
        let Some(Token::Word(word)) = self.peek() else {
            return None;
        };
        let follows = matches!(self.second(), Some(Token::Word(_) | Token::Not));
        if !follows || closest(word, ["not"]).is_none() {
            return None;
        }
        self.advise(self.here(), &format!("`{word}` is no condition"), "did you mean `not`?");
        self.tokens.next()
    }

    fn not(&mut self) -> Syntax<'a> {
        let word = self.next_if(Token::Not).or_else(|| self.misspelt_not());
        let Some(word) = word else {
            return self.comparison();
        };
        let start = word.at.start;
        let inner = self.deeper(&word.at, Self::not);
        Syntax {
            at: start..inner.at.end,
            kind: Kind::Not(Box::new(inner)),
        }
    }

    fn comparison(&mut self) -> Syntax<'a> {
        let left = self.operand();
        let sign = match self.peek() {
            Some(Token::Compare(sign)) => sign,
            Some(Token::Assign) => {
                self.advise(self.here(), "`=` does not compare", "write `==`");
                Comparison::Equal
            }
            _ => return left,
        };
        self.tokens.next();
        let right = self.operand();
        Syntax {
            at: left.at.start..right.at.end,
            kind: Kind::Compare(Box::new(left), sign, Box::new(right)),
        }
    }

    fn operand(&mut self) -> Syntax<'a> {
        let at = self.here();
        if self.next_if(Token::Open).is_none() {
            return self.value("a condition such as `up(…)`, or a number");
        }
        let inner = self.deeper(&at, Self::or);
        match self.next_if(Token::Close) {
            Some(close) => Syntax {
                at: at.start..close.at.end,
                kind: inner.kind,
            },
            None => {
                self.tell(at, "this `(` is never closed");
                Self::broken(inner.at)
            }
        }
    }

    /// A call, a name or a literal.
    fn value(&mut self, expected: &str) -> Syntax<'a> {
        let at = self.here();
        match self.peek() {
            Some(Token::Word(word)) => {
                self.tokens.next();
                if self.peek() == Some(Token::Open) {
                    self.call(word, at)
                } else {
                    Syntax {
                        at,
                        kind: Kind::Name(word),
                    }
                }
            }
            Some(Token::Quoted(name)) => {
                self.tokens.next();
                Syntax {
                    at,
                    kind: Kind::Name(name),
                }
            }
            Some(Token::Literal(literal)) => {
                self.tokens.next();
                Syntax {
                    at,
                    kind: Kind::Literal(literal),
                }
            }
            Some(Token::Broken) => {
                self.tokens.next();
                Self::broken(at)
            }
            _ => {
                self.tell(at.clone(), format!("expected {expected}, found {}", self.found()));
                Self::broken(at)
            }
        }
    }

    fn call(&mut self, name: &'a str, name_at: Range<usize>) -> Syntax<'a> {
        let open = self.here();
        self.tokens.next();
        let mut arguments = Vec::new();
        while !matches!(self.peek(), None | Some(Token::Close)) {
            arguments.push(self.argument());
            if self.next_if(Token::Comma).is_none() {
                break;
            }
        }
        let behind = self.here();
        let broken = self.next_if(Token::Close).is_none();
        if broken {
            let told = arguments
                .last()
                .is_some_and(|argument: &Argument<'a>| matches!(argument.value.kind, Kind::Broken));
            match self.peek() {
                None if told => {}
                None => self.tell(open, "this `(` is never closed"),
                Some(_) => self.skip_to_close(told),
            }
        }
        let at = name_at.start..behind.end;
        Syntax {
            at,
            kind: Kind::Call(Call {
                name,
                name_at,
                arguments,
                broken,
            }),
        }
    }

    /// An argument list has something that is no argument: told, and left out up to its end.
    fn skip_to_close(&mut self, told: bool) {
        if !told && self.peek() != Some(Token::Broken) {
            self.tell(self.here(), format!("expected `,` or `)`, found {}", self.found()));
        }
        let mut open = 0_usize;
        for spanned in self.tokens.by_ref() {
            match spanned.token {
                Token::Open => open += 1,
                Token::Close if open == 0 => return,
                Token::Close => open -= 1,
                _ => {}
            }
        }
    }

    fn argument(&mut self) -> Argument<'a> {
        let mut name = None;
        if let [
            Spanned {
                token: Token::Word(word),
                at,
            },
            Spanned {
                token: Token::Assign, ..
            },
            ..,
        ] = self.tokens.as_slice()
        {
            name = Some((*word, at.clone()));
            self.tokens.nth(1);
        }
        let at = self.here();
        let value = self.deeper(&at, |parser| parser.value("a name or a duration"));
        Argument { name, value }
    }

    /// What stands behind a `)` too many.
    fn or_rest(&mut self) -> Option<Syntax<'a>> {
        match self.peek()? {
            Token::Close => None,
            Token::And | Token::Or => {
                self.tokens.next();
                Some(self.or())
            }
            _ => Some(self.or()),
        }
    }
}

/// One part stands for itself.
fn gathered<'a>(mut parts: Vec<Syntax<'a>>, several: fn(Vec<Syntax<'a>>) -> Kind<'a>) -> Syntax<'a> {
    let start = parts.first().map_or(0, |part| part.at.start);
    let end = parts.last().map_or(start, |part| part.at.end);
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            Syntax {
                at: start..end,
                kind: several(parts),
            }
        }
    }
}
