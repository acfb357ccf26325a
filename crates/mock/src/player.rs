//! Sending a script: delays, cuts, stalls.

use std::time::Duration;

use crate::knobs::Knobs;
use crate::script::Script;
use crate::wire::Wire;

/// How far a script was played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// To its end.
    Whole,
    /// To the byte where a knob cuts it.
    Cut,
    /// To the byte where a knob stalls it.
    Stalled,
    /// Until the client left.
    Gone,
}

/// Writes a script to the client. `progress` hears after every write how many bytes it took and how many events are
/// whole by now.
pub(crate) async fn play(
    wire: &mut Wire,
    script: &Script,
    knobs: &Knobs,
    mut progress: impl FnMut(u64, u64),
) -> Ended {
    let mut sent = 0;
    if let (Some(interval), Some(comment)) = (knobs.comment_ms, script.comment) {
        let head = wire.send(&script.bytes[..script.head]).await;
        sent = head.bytes;
        progress(head.bytes as u64, 0);
        if !head.whole {
            return Ended::Gone;
        }
        let interval = interval.max(1);
        let delay = knobs.first_delay_ms.unwrap_or(0);
        for _ in 0..delay / interval {
            if !wire.pause(Duration::from_millis(interval)).await {
                return Ended::Gone;
            }
            let ping = wire.send(comment).await;
            progress(ping.bytes as u64, 0);
            if !ping.whole {
                return Ended::Gone;
            }
        }
        if !wire.pause(Duration::from_millis(delay % interval)).await {
            return Ended::Gone;
        }
    } else if !wire.pause(knobs.first_delay()).await {
        return Ended::Gone;
    }

    let stop = script.stop(knobs);
    for (number, &end) in script.writes.iter().enumerate() {
        if number > 0 && !wire.pause(knobs.chunk_delay()).await {
            return Ended::Gone;
        }
        let (end, ended) = match stop {
            Some((at, ended)) if at < end => (at, Some(ended)),
            _ => (end, None),
        };
        let written = wire.send(&script.bytes[sent..end]).await;
        sent += written.bytes;
        progress(written.bytes as u64, script.events_in(sent));
        if !written.whole {
            return Ended::Gone;
        }
        if let Some(ended) = ended {
            return ended;
        }
    }
    Ended::Whole
}
