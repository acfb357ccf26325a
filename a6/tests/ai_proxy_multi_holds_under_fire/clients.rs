//! Clients that know what they must get.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{Answer, Connection, Random, chat, chat_stream, request, sse};

/// Asks until it is over, with pauses; gives what there is to complain about.
pub(crate) fn ask_until(
    over: &AtomicBool,
    next: &AtomicUsize,
    data: SocketAddr,
    mut random: Random,
) -> Vec<String> {
    let mut client = Client { data, connection: None };
    let mut complaints = Vec::new();
    while !over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(random.below(1_000)));
        complaints.extend(client.ask(next.fetch_add(1, Ordering::Relaxed), random.below(2) == 0));
    }
    complaints
}

/// Asks so many times, one after the other.
pub(crate) fn ask(times: usize, next: &AtomicUsize, data: SocketAddr, mut random: Random) -> Vec<String> {
    let mut client = Client { data, connection: None };
    let asked = (0..times).map(|_| client.ask(next.fetch_add(1, Ordering::Relaxed), random.below(2) == 0));
    asked.flatten().collect()
}

struct Client {
    data: SocketAddr,
    /// None where the last one cannot be used again.
    connection: Option<Connection>,
}

impl Client {
    fn ask(&mut self, number: usize, is_stream: bool) -> Option<String> {
        let text = format!("question {number} of many");
        let body = if is_stream { chat_stream(&text) } else { chat(&text) }.to_string();
        let mut connection = self.connection.take().unwrap_or_else(|| Connection::open(self.data));
        let answer = connection.answer(&request("POST", &format!("/chat?n={number}"), &[], body.as_bytes()));
        let wrong = match is_stream {
            true => wrong_stream(&answer, &text),
            false => wrong_plain(&answer, &text),
        };
        if answer.clean_end {
            self.connection = Some(connection);
        }
        wrong.map(|why| format!("{number}: {why}: {} {}", answer.status, answer.text()))
    }
}

/// A plain answer has to be whole and its own.
fn wrong_plain(answer: &Answer, text: &str) -> Option<&'static str> {
    if answer.status != 200 {
        return Some("no answer");
    }
    if !answer.clean_end {
        return Some("half an answer");
    }
    let said = &answer.json()["choices"][0]["message"]["content"];
    (*said != format!("You said: {text}")).then_some("another's answer")
}

/// So has a stream, but that it may be aborted, visibly, once it has said something: nobody else could go on then.
fn wrong_stream(answer: &Answer, text: &str) -> Option<&'static str> {
    if answer.status != 200 {
        return Some("no answer");
    }
    let whole = answer.text();
    if answer.clean_end {
        let is_right =
            sse::is_done(&answer.body) && sse::content(&answer.body) == format!("You said: {text}");
        return (!is_right).then_some("half a stream that looks whole, or another's");
    }
    // The first piece begins with it.
    if !whole.contains("\"content\":\"Y") {
        return Some("a stream aborted before its first word");
    }
    (whole.contains("[DONE]") || !whole.contains("\"error\"")).then_some("an abort that nobody sees")
}
