//! HTTP/1.1 by hand: what no well-behaved client sends can be sent too.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::{PATIENCE, Server};

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, as it came.
    head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads all that comes until the server hangs up.
    ///
    /// # Panics
    /// It is no HTTP.
    pub fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Opens a connection and sends these bytes.
pub fn send_raw(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

/// The head of a request whose body has `length` bytes.
pub fn head(request: &str, headers: &[&str], length: usize) -> Vec<u8> {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{lines}\r\n"
    )
    .into()
}

/// Sends a request, as `POST /v1/images/edits`, and waits for the answer.
pub fn send(server: &Server, request: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut stream = send_raw(server, &[&head(request, headers, body.len()), body].concat());
    Answer::read(&mut stream)
}

/// A part of a form: its name, its file name (empty for a text) and its content.
pub type Part<'a> = (&'a str, &'a str, &'a [u8]);

/// A form, and the header that goes with it.
pub fn form(parts: &[Part]) -> (&'static str, Vec<u8>) {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        let file = if file.is_empty() { String::new() } else { format!("; filename=\"{file}\"") };
        body.extend(
            format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes(),
        );
        body.extend_from_slice(content);
        body.extend(b"\r\n");
    }
    body.extend(b"--edge--\r\n");
    ("Content-Type: multipart/form-data; boundary=edge", body)
}
