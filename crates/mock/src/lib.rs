//! Mock providers with faults and a ledger: what `a6 mock` serves, and what tests and the bench talk to.
//!
//! The mock speaks raw HTTP/1.1 so that every byte it writes is chosen here: replies can be cut, reset, stalled
//! or spoiled at any byte. It counts tokens itself and writes every request and every byte it sent into a ledger,
//! so that a test compares with what really happened instead of with constants.
//!
//! | file | what is in it |
//! |---|---|
//! | `args.rs` | the flags of `a6 mock` and the function that serves until Ctrl-C |
//! | `knobs.rs` | the faults and shapes a flag, a header or a query parameter can ask for |
//! | `server.rs` | `Options`, the running `Mock`, what its connections share, the accept loop |
//! | `tls.rs` | a CA of our own and a certificate for the hosts a test wants to be |
//! | `ledger.rs` | `Exchange`, `Outcome` and the list of them |
//! | `connection.rs` | the life of one connection: receive, answer, play, again |
//! | `wire.rs` | one socket, plain or TLS: reads, counted writes, waits that notice a hang-up, closing and resetting |
//! | `request.rs` | strict parsing of a request's head and of a chunked body |
//! | `answer.rs` | which endpoint answers a request; the key check; spoiling |
//! | `reply.rs` | a reply before it has bytes, and the error replies in the providers' shapes |
//! | `script.rs` | a reply as the exact bytes and writes that go out |
//! | `player.rs` | sending a script: delays, cuts, stalls |
//! | `content.rs` | what the assistant says, and in which pieces |
//! | `tokens.rs` | the token count |
//! | `openai.rs`, `responses.rs`, `anthropic.rs`, `converse.rs`, `embeddings.rs` | the providers' request and reply shapes |
//! | `aws.rs`, `google.rs` | who may ask Bedrock and Vertex AI: signatures checked, tokens given |
//! | `media.rs` | sound, pictures and files |
//! | `echo.rs` | the reply to everything else |
//! | `replay.rs` | recorded exchanges, answered again |

mod answer;
mod anthropic;
mod args;
mod aws;
mod connection;
mod content;
mod converse;
mod echo;
mod embeddings;
mod google;
mod knobs;
mod ledger;
mod media;
mod openai;
mod player;
mod replay;
mod reply;
mod request;
mod responses;
mod script;
mod server;
mod tls;
mod tokens;
mod wire;

#[cfg(test)]
mod tests;

pub use args::{Args, Key, run};
pub use aws::AwsKey;
pub use knobs::{CutWith, Framing, Garbage, KnobError, Knobs};
pub use ledger::{Exchange, Outcome};
pub use server::{Mock, Options};
pub use tls::{ClientIdentity, TlsError, TlsIdentity};
