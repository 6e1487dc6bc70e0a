//! HTTP/1.1 in its plainest form: a client that can also send nonsense, and what the receivers read with.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long one exchange may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A request or a response: first line, headers with lower-case names, body.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The request line or the status line.
    pub first: String,
    /// Headers in order; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, chunks put together.
    pub body: Vec<u8>,
}

impl Message {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The status of a response; 0 if the first line has none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.first
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }
}

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Method.
    pub method: &'a str,
    /// Path with query.
    pub path: &'a str,
    /// Headers; `Host`, `Content-Length` and `Connection: close` are added unless given.
    pub headers: &'a [(&'a str, &'a str)],
    /// Body.
    pub body: &'a [u8],
}

/// GET over TCP; an error if nobody answers.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Message> {
    send(
        address,
        &Request {
            method: "GET",
            path,
            headers: &[],
            body: b"",
        },
    )
}

/// One request over TCP.
pub fn send(address: SocketAddr, request: &Request<'_>) -> io::Result<Message> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    exchange(stream, request, &address.to_string())
}

/// One request over a Unix socket.
pub fn send_to_socket(socket: &Path, request: &Request<'_>) -> io::Result<Message> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    exchange(stream, request, "localhost")
}

/// Sends bytes as they are and reads until the other side closes or falls silent.
pub fn send_raw(address: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let written = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => Ok(answer),
        Err(_) if !answer.is_empty() => Ok(answer),
        Err(error) => written.and(Err(error)),
    }
}

fn exchange<S: Read + Write>(mut stream: S, request: &Request<'_>, host: &str) -> io::Result<Message> {
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.path);
    let length = request.body.len().to_string();
    let defaults = [
        ("Host", host),
        ("Content-Length", length.as_str()),
        ("Connection", "close"),
    ];
    let given = |name: &str| request.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    for (name, value) in request
        .headers
        .iter()
        .chain(defaults.iter().filter(|(name, _)| !given(name)))
    {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    // A server may answer and close before it has read a body it refuses: its answer counts, not our broken pipe.
    let written = stream.write_all(request.body);
    match read(&mut BufReader::new(stream), true) {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => written.and(Err(io::ErrorKind::UnexpectedEof.into())),
        Err(error) => Err(error),
    }
}

/// Reads one message; `None` if the other side closed before its first byte.
pub fn read<R: BufRead>(reader: &mut R, until_close: bool) -> io::Result<Option<Message>> {
    let mut message = Message::default();
    if reader.read_line(&mut message.first)? == 0 {
        return Ok(None);
    }
    message.first.truncate(message.first.trim_end().len());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        message
            .headers
            .push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    message.body = read_body(reader, &message, until_close)?;
    Ok(Some(message))
}

fn read_body<R: BufRead>(reader: &mut R, head: &Message, until_close: bool) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head
        .header("transfer-encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
            reader.take(size).read_to_end(&mut body)?;
            reader.read_line(&mut line)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    if let Some(length) = head.header("content-length") {
        let length: u64 = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        reader.take(length).read_to_end(&mut body)?;
    } else if until_close && head.status() != 204 {
        reader.read_to_end(&mut body)?;
    }
    Ok(body)
}
