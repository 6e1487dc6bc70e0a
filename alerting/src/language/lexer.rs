//! From characters to tokens. What is foreign is told with what to write instead, and reading goes on.

use std::{iter::Peekable, ops::Range, str::CharIndices};

use super::{
    error::Report,
    expression::Comparison,
    literal::{self, Literal},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    Quoted(&'a str),
    Literal(Literal),
    Open,
    Close,
    Comma,
    Assign,
    Compare(Comparison),
    And,
    Or,
    Not,
    /// Something that was told already.
    Broken,
}

#[derive(Clone, Debug)]
pub(super) struct Spanned<'a> {
    pub(super) token: Token<'a>,
    pub(super) at: Range<usize>,
}

/// May this character stand in a word: a function, a name, or a literal?
pub(super) fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '/' | ':')
}

/// May this character begin a word?
pub(super) fn begins_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

pub(super) fn tokens<'a>(text: &'a str, report: &mut Report) -> Vec<Spanned<'a>> {
    let mut lexer = Lexer {
        text,
        chars: text.char_indices().peekable(),
        report,
    };
    std::iter::from_fn(|| lexer.next_token()).collect()
}

fn is_foreign_quote(c: char) -> bool {
    matches!(c, '“' | '”' | '„' | '‘' | '’' | '«' | '»' | '`')
}

struct Lexer<'a, 'r> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    report: &'r mut Report,
}

impl<'a> Lexer<'a, '_> {
    fn next_token(&mut self) -> Option<Spanned<'a>> {
        while self.chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let (start, first) = self.chars.next()?;
        let token = match first {
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '>' if self.eat('=') => Token::Compare(Comparison::AtLeast),
            '>' => Token::Compare(Comparison::Above),
            '<' if self.eat('=') => Token::Compare(Comparison::AtMost),
            '<' if self.eat('>') => self.foreign(start, Token::Compare(Comparison::NotEqual), "!="),
            '<' => Token::Compare(Comparison::Below),
            '=' if self.eat('=') => Token::Compare(Comparison::Equal),
            '=' if self.eat('>') => self.foreign(start, Token::Compare(Comparison::AtLeast), ">="),
            '=' if self.eat('<') => self.foreign(start, Token::Compare(Comparison::AtMost), "<="),
            '=' => Token::Assign,
            '!' if self.eat('=') => Token::Compare(Comparison::NotEqual),
            '!' => self.foreign(start, Token::Not, "not"),
            '"' | '\'' => self.quoted(start, first),
            _ if first.is_ascii_digit() => self.number(start),
            _ if begins_word(first) => self.word(start),
            _ => self.other(start, first),
        };
        Some(Spanned {
            token,
            at: start..self.offset(),
        })
    }

    /// Where the next character starts.
    fn offset(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.chars.next_if(|(_, c)| *c == wanted).is_some()
    }

    fn eat_while(&mut self, start: usize, wanted: impl Fn(char) -> bool) -> &'a str {
        while self.chars.next_if(|(_, c)| wanted(*c)).is_some() {}
        let end = self.offset();
        self.text.get(start..end).unwrap_or_default()
    }

    /// Tells how this is written here, and goes on with what was meant.
    fn foreign(&mut self, start: usize, meant: Token<'a>, written: &str) -> Token<'a> {
        let at = start..self.offset();
        let found = self.text.get(at.clone()).unwrap_or_default();
        self.report.advise(
            at,
            format!("`{found}` is not of this language"),
            format!("write `{written}`"),
        );
        meant
    }

    fn other(&mut self, start: usize, first: char) -> Token<'a> {
        match first {
            '&' => {
                self.eat('&');
                self.foreign(start, Token::And, "and")
            }
            '|' => {
                self.eat('|');
                self.foreign(start, Token::Or, "or")
            }
            '≥' => self.foreign(start, Token::Compare(Comparison::AtLeast), ">="),
            '≤' => self.foreign(start, Token::Compare(Comparison::AtMost), "<="),
            '≠' => self.foreign(start, Token::Compare(Comparison::NotEqual), "!="),
            '-' if self.chars.peek().is_some_and(|(_, next)| next.is_ascii_digit()) => {
                let text = self.eat_while(start, |c| in_word(c) || c == '%');
                let at = start..self.offset();
                self.report
                    .add(at, format!("`{text}` is negative: limits and windows are not"));
                Token::Broken
            }
            _ if is_foreign_quote(first) => self.foreign_quoted(start),
            _ => {
                let at = start..self.offset();
                self.report.add(at, format!("unexpected `{}`", first.escape_debug()));
                Token::Broken
            }
        }
    }

    fn quoted(&mut self, start: usize, quote: char) -> Token<'a> {
        let begin = self.offset();
        for (end, c) in self.chars.by_ref() {
            if c == quote {
                return Token::Quoted(self.text.get(begin..end).unwrap_or_default());
            }
        }
        self.report.add(start..self.text.len(), "this quote is never closed");
        Token::Broken
    }

    /// A name in quotes of another kind: `“shop”`.
    fn foreign_quoted(&mut self, start: usize) -> Token<'a> {
        let quoted = self.eat_while(start, |c| {
            !is_foreign_quote(c) && !matches!(c, '"' | '\'' | '(' | ')' | ',')
        });
        let name = quoted.trim_start_matches(is_foreign_quote);
        self.chars
            .next_if(|(_, c)| is_foreign_quote(*c) || matches!(c, '"' | '\''));
        self.foreign(start, Token::Quoted(name), &format!("\"{name}\""))
    }

    fn word(&mut self, start: usize) -> Token<'a> {
        let word = self.eat_while(start, in_word);
        match word {
            "and" => Token::And,
            "or" => Token::Or,
            "not" => Token::Not,
            "AND" | "And" => self.foreign(start, Token::And, "and"),
            "OR" | "Or" => self.foreign(start, Token::Or, "or"),
            "NOT" | "Not" => self.foreign(start, Token::Not, "not"),
            _ => Token::Word(word),
        }
    }

    fn number(&mut self, start: usize) -> Token<'a> {
        let text = self.eat_while(start, |c| in_word(c) || c == '%');
        let end = self.offset();
        let spaced = if text.ends_with(|last: char| last.is_ascii_digit()) {
            self.spaced_unit()
        } else {
            None
        };
        let read = literal::read(&format!("{text}{}", spaced.unwrap_or_default()));
        let at = start..end;
        match (read, spaced) {
            (Ok(value), None) => return Token::Literal(value),
            (Ok(value), Some(unit)) => {
                let whole = start..self.offset();
                self.report.advise(
                    whole,
                    "a number and its unit are one word",
                    format!("write `{text}{unit}`"),
                );
                return Token::Literal(value);
            }
            (Err(refusal), _) => match refusal.help {
                Some(help) => self.report.advise(at, refusal.message, help),
                None => self.report.add(at, refusal.message),
            },
        }
        Token::Broken
    }

    /// Eats a unit that stands apart from its number: `5 m`.
    fn spaced_unit(&mut self) -> Option<&'a str> {
        let start = self.offset();
        let rest = self.text.get(start..)?.trim_start();
        let end = rest.find(|c| !in_word(c) && c != '%').unwrap_or(rest.len());
        let unit = rest.get(..end).filter(|unit| literal::is_unit(unit))?;
        let until = self.text.len() - rest.len() + end;
        while self.chars.next_if(|(at, _)| *at < until).is_some() {}
        Some(unit)
    }
}
