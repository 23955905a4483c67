//! Backpressure from the reader of events: how many bytes it has not read yet, and waiting until they are fewer. What a command prints
//! has no end, and a reader may be stopped for hours.

use std::sync::Arc;

use tokio::sync::watch;

use crate::event::Event;

/// Output waits while as many bytes of events are not read yet.
const MOST: usize = 1 << 20;

/// What was sent and not read yet. Clones are the same.
#[derive(Clone)]
pub(crate) struct Backpressure {
    held: Arc<watch::Sender<Held>>,
}

/// The reader's side. Nobody waits any more once it is dropped.
pub struct Reader {
    backpressure: Backpressure,
}

struct Held {
    bytes: usize,
    is_read: bool,
}

impl Held {
    fn is_full(&self) -> bool {
        self.is_read && self.bytes >= MOST
    }
}

impl Backpressure {
    pub(crate) fn with_reader() -> (Backpressure, Reader) {
        let held = Held {
            bytes: 0,
            is_read: true,
        };
        let backpressure = Backpressure {
            held: Arc::new(watch::Sender::new(held)),
        };
        (backpressure.clone(), Reader { backpressure })
    }

    /// One more was sent.
    pub(crate) fn add(&self, event: &Event) {
        self.change(|held| held.bytes += event.weight());
    }

    pub(crate) fn is_full(&self) -> bool {
        self.held.borrow().is_full()
    }

    /// Waits until there is room. Dropping the future is harmless.
    pub(crate) async fn room(&self) {
        if self.is_full() {
            // The sender is here, so it does not end.
            let _ = self.held.subscribe().wait_for(|held| !held.is_full()).await;
        }
    }

    /// Changes what is held; those who wait hear of it only when there is room.
    fn change(&self, change: impl FnOnce(&mut Held)) {
        self.held.send_if_modified(|held| {
            let was_full = held.is_full();
            change(held);
            was_full && !held.is_full()
        });
    }
}

impl Reader {
    /// This event was read, and is as it came.
    pub fn took(&self, event: &Event) {
        self.backpressure
            .change(|held| held.bytes = held.bytes.saturating_sub(event.weight()));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.backpressure.change(|held| held.is_read = false);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;
    use std::task::{Context, Poll, Wake, Waker};

    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::event::{BuildEvent, Level, What};
    use crate::events::{Events, Ui};
    use crate::output::stream_pipes;

    /// More than anybody may keep.
    const PRINTED: usize = 64 * MOST;

    /// Was something done that lets a future go on?
    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// Goes on until the future ends or stands still.
    fn until_still<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() || !woken.0.swap(false, Ordering::SeqCst) {
                return polled;
            }
        }
    }

    fn length(event: &Event) -> usize {
        match &event.what {
            What::Message(message) => message.text.len() + 1,
            _ => 0,
        }
    }

    #[test]
    fn what_is_printed_waits_for_a_reader_that_stopped() {
        let (sender, receiver) = channel();
        let (events, reader) = Events::read_by(sender);
        let (mut script, stdout) = tokio::io::duplex(64 << 10);
        let ui = Ui::new(events.of("build"));
        let printing = async move {
            let block = (".".repeat(127) + "\n").repeat(512);
            for _ in 0..PRINTED / block.len() {
                script.write_all(block.as_bytes()).await.unwrap();
            }
        };
        let mut bake = pin!(async { tokio::join!(printing, stream_pipes(stdout, tokio::io::empty(), &ui)) });
        let mut read = 0;
        while until_still(&mut bake).is_pending() {
            assert!(events.are_behind());
            // What is no output comes through all the same.
            events.emit(What::Build(BuildEvent::Started));
            let waiting: Vec<Event> = receiver.try_iter().inspect(|event| reader.took(event)).collect();
            assert!(waiting.iter().map(Event::weight).sum::<usize>() < 2 * MOST);
            assert_eq!(waiting.last().unwrap().what, What::Build(BuildEvent::Started));
            read += waiting.iter().map(length).sum::<usize>();
        }
        read += receiver.try_iter().map(|event| length(&event)).sum::<usize>();
        assert_eq!(read, PRINTED);
    }

    #[test]
    fn nobody_waits_for_a_reader_that_is_gone() {
        let (sender, receiver) = channel();
        let (events, reader) = Events::read_by(sender);
        let ui = Ui::new(events.clone());
        ui.output("x".repeat(MOST));
        let mut waiting = pin!(ui.line(Level::Output, "last".into(), false));
        assert!(until_still(&mut waiting).is_pending());
        drop((receiver, reader));
        assert!(until_still(&mut waiting).is_ready());
    }

    #[test]
    fn a_cancelled_bake_does_not_wait() {
        let (sender, _receiver) = channel();
        let (events, _reader) = Events::read_by(sender);
        let ui = Ui::new(events.clone());
        let endless = "line\n".repeat(MOST);
        {
            let mut bake = pin!(stream_pipes(endless.as_bytes(), tokio::io::empty(), &ui));
            assert!(until_still(&mut bake).is_pending());
        }
        // What the clean-up says does not wait, either.
        ui.say("Terminating the source instance...");
        assert!(events.are_behind());
    }
}
