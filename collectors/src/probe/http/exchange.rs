//! One HTTP/1.1 request and its answer (RFC 9112), read no further than it is needed.

use std::io;

use events::{Look, Reason};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use crate::probe::{line::Talk, stopwatch::Stopwatch, stopwatch::micros, why};

/// Largest head of an answer, and most headers in it.
const HEAD_MAX: usize = 32 * 1024;
const HEADERS_MAX: usize = 100;
/// Interim answers (103 Early Hints) before the real one.
const INTERIM_MAX: usize = 8;
/// How much is read at once.
const CHUNK: usize = 4 * 1024;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    /// Status code.
    pub(super) status: u16,
    /// Status line, as sent.
    pub(super) line: String,
    /// Body, as far as it was wanted.
    pub(super) body: Vec<u8>,
    /// True when there is more than was wanted.
    pub(super) is_cut: bool,
}

/// What is sent, and how much of the answer is wanted.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    /// The request, head and body.
    pub(super) request: &'a [u8],
    /// True when the answer has no body whatever it says.
    pub(super) is_head: bool,
    /// How much of the body is wanted.
    pub(super) body_max: usize,
}

/// How the end of a body is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    Close,
}

struct Head {
    status: u16,
    line: String,
    framing: Framing,
    length: usize,
}

impl Exchange<'_> {
    /// Sends the request and reads the answer; the error is the look.
    pub(super) async fn run(&self, stream: &mut dyn Talk, watch: &mut Stopwatch) -> Result<Answer, Look> {
        // A server may answer and close before it has read everything: what it said counts, not that we could not go on.
        let sent = async {
            stream.write_all(self.request).await?;
            stream.flush().await
        }
        .await;
        let began = Instant::now();
        let mut reader = Reader {
            stream,
            buffer: Vec::new(),
        };
        let head = match reader
            .head(self.is_head, || {
                watch.parts.first_byte_us = Some(micros(began.elapsed()));
            })
            .await
        {
            Ok(head) => head,
            Err(look) => {
                return Err(sent
                    .err()
                    .map_or(look, |error| why::of_talk("send the request", &error)));
            }
        };
        let (body, is_cut) = match head.framing {
            Framing::Length(length) => reader.sized(length, self.body_max).await?,
            Framing::Chunked => reader.chunked(self.body_max).await?,
            Framing::Close => reader.until_close(self.body_max).await?,
        };
        Ok(Answer {
            status: head.status,
            line: head.line,
            body,
            is_cut,
        })
    }
}

struct Reader<'a> {
    stream: &'a mut dyn Talk,
    buffer: Vec<u8>,
}

impl Reader<'_> {
    /// Reads some more; 0 is the end.
    async fn more(&mut self) -> io::Result<usize> {
        self.buffer.reserve(CHUNK);
        match self.stream.read_buf(&mut self.buffer).await {
            // A TLS peer that closes without saying so (RFC 8446 §6.1): what the framing says decides.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }

    /// Reads some more where more has to come.
    async fn must(&mut self, doing: &str) -> Result<(), Look> {
        match self.more().await {
            Ok(0) => Err(why::fail(
                Reason::ConnectionReset,
                format!("{doing}: the connection was closed"),
            )),
            Ok(_) => Ok(()),
            Err(error) => Err(why::of_talk(doing, &error)),
        }
    }

    async fn head(&mut self, is_head: bool, first_byte: impl FnOnce()) -> Result<Head, Look> {
        const DOING: &str = "read the answer's head";
        self.must("wait for the answer").await?;
        first_byte();
        let mut interim = 0;
        loop {
            match parse_head(&self.buffer, is_head)? {
                Some(head) if (100..200).contains(&head.status) && head.status != 101 => {
                    interim += 1;
                    if interim > INTERIM_MAX {
                        return Err(invalid("more than 8 interim answers"));
                    }
                    self.buffer.drain(..head.length);
                }
                Some(head) => {
                    self.buffer.drain(..head.length);
                    return Ok(head);
                }
                None if self.buffer.len() > HEAD_MAX => return Err(invalid("its head is larger than 32 KiB")),
                None => self.must(DOING).await?,
            }
        }
    }

    async fn sized(mut self, length: u64, wanted: usize) -> Result<(Vec<u8>, bool), Look> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        while self.buffer.len() < length.min(wanted) {
            self.must("read the answer's body").await?;
        }
        self.buffer.truncate(length.min(wanted));
        Ok((self.buffer, length > wanted))
    }

    async fn until_close(mut self, wanted: usize) -> Result<(Vec<u8>, bool), Look> {
        while self.buffer.len() <= wanted {
            match self.more().await {
                Ok(0) => return Ok((self.buffer, false)),
                Ok(_) => {}
                Err(error) => return Err(why::of_talk("read the answer's body", &error)),
            }
        }
        self.buffer.truncate(wanted);
        Ok((self.buffer, true))
    }

    async fn chunked(mut self, wanted: usize) -> Result<(Vec<u8>, bool), Look> {
        const DOING: &str = "read the answer's body";
        let mut body = Vec::new();
        loop {
            let (used, size) = match httparse::parse_chunk_size(&self.buffer) {
                Err(_) => return Err(invalid("a chunk has no valid size")),
                Ok(httparse::Status::Partial) if self.buffer.len() > CHUNK => {
                    return Err(invalid("the size of a chunk does not end"));
                }
                Ok(httparse::Status::Partial) => {
                    self.must(DOING).await?;
                    continue;
                }
                Ok(httparse::Status::Complete(found)) => found,
            };
            self.buffer.drain(..used);
            if size == 0 {
                return Ok((body, false));
            }
            if self.chunk(size, wanted, &mut body).await? {
                return Ok((body, true));
            }
        }
    }

    /// Takes one chunk and the line end behind it; true when the body is full before.
    async fn chunk(&mut self, size: u64, wanted: usize, body: &mut Vec<u8>) -> Result<bool, Look> {
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        while left > 0 {
            if self.buffer.is_empty() {
                self.must("read the answer's body").await?;
            }
            let take = left.min(self.buffer.len()).min(wanted - body.len());
            body.extend(self.buffer.drain(..take));
            left -= take;
            if body.len() == wanted && left > 0 {
                return Ok(true);
            }
        }
        while self.buffer.len() < 2 {
            self.must("read the answer's body").await?;
        }
        if self.buffer.drain(..2).ne(*b"\r\n") {
            return Err(invalid("a chunk does not end where it should"));
        }
        Ok(false)
    }
}

fn invalid(what: &str) -> Look {
    why::fail(Reason::HttpInvalid, format!("invalid HTTP answer: {what}"))
}

/// `None` while the head is not whole.
fn parse_head(buffer: &[u8], is_head: bool) -> Result<Option<Head>, Look> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => {
            let mut look = invalid(&error.to_string());
            look.evidence = why::evidence(&[buffer]);
            return Err(look);
        }
    };
    let status = response.code.unwrap_or(0);
    let reason = response.reason.unwrap_or_default();
    let line = format!("HTTP/1.{} {status} {reason}", response.version.unwrap_or(1));
    let framing = if is_head || status == 204 || status == 304 || status < 200 {
        Framing::Length(0)
    } else {
        framing(response.headers)?
    };
    Ok(Some(Head {
        status,
        line: line.trim_end().to_owned(),
        framing,
        length,
    }))
}

fn framing(headers: &[httparse::Header<'_>]) -> Result<Framing, Look> {
    let values = |name: &'static str| {
        headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.trim_ascii())
    };
    if let Some(last) = values("transfer-encoding").next_back() {
        let last = last.rsplit(|byte| *byte == b',').next().unwrap_or(last).trim_ascii();
        return Ok(if last.eq_ignore_ascii_case(b"chunked") {
            Framing::Chunked
        } else {
            Framing::Close
        });
    }
    let mut lengths = values("content-length").map(|value| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
    match lengths.next() {
        None => Ok(Framing::Close),
        Some(None) => Err(invalid("its content-length is no number")),
        Some(Some(first)) if lengths.any(|other| other != Some(first)) => Err(invalid("two lengths that differ")),
        Some(Some(first)) => Ok(Framing::Length(first)),
    }
}

#[cfg(test)]
mod tests;
