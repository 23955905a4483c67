//! A real HTTP server on this machine that plays recorded answers, one per connection, and keeps what it was asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use crate::backstop;
use crate::eventually::LIMIT;

/// A server that ends after its last answer.
pub struct Exchange {
    /// `127.0.0.1:PORT`
    pub address: String,
    asked: Receiver<String>,
    answers: usize,
}

impl Exchange {
    /// Serves these answers: a status line with headers, an empty line, a body. The length is added.
    pub fn play(answers: &'static [&'static str]) -> Exchange {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            for answer in answers {
                let (connection, _) = listener.accept().unwrap();
                // Nobody looks where the test has failed by now.
                let _ = sender.send(one(&connection, answer));
            }
        });
        backstop::watch();
        Exchange {
            address,
            asked,
            answers: answers.len(),
        }
    }

    /// What was asked, once all answers are given, which is waited for within a limit: request line, headers in lower case and in order, body.
    pub fn asked(self) -> Vec<String> {
        let asked: Vec<String> = std::iter::from_fn(|| self.asked.recv_timeout(LIMIT).ok()).collect();
        assert_eq!(asked.len(), self.answers, "not all answers were asked for: {asked:?}");
        asked
    }
}

fn one(mut connection: &TcpStream, answer: &str) -> String {
    let mut reader = BufReader::new(connection);
    let mut head = Vec::new();
    for line in reader.by_ref().lines() {
        let line = line.unwrap();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let mut headers: Vec<String> = head.split_off(1).iter().map(|line| line.to_ascii_lowercase()).collect();
    headers.sort();
    let length = headers
        .iter()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let (top, content) = answer.split_once("\n\n").unwrap();
    let top = top.replace('\n', "\r\n");
    let text = format!(
        "{top}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    );
    connection.write_all(text.as_bytes()).unwrap();
    let volatile = |line: &&String| !["host: ", "user-agent: "].iter().any(|name| line.starts_with(name));
    let kept: Vec<&str> = headers.iter().filter(volatile).map(String::as_str).collect();
    format!(
        "{}\n{}\n\n{}",
        head[0],
        kept.join("\n"),
        String::from_utf8(body).unwrap()
    )
}
