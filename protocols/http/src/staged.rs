//! A body that passes through a stage on its way to the connection: reshaped, compressed, or merely watched.
//!
//! The one idea to know: a stage works as the connection takes the body, a bounded piece at a time, so that nothing is
//! held twice that need not be, and what is guarded counts as taken only when the connection has it. What the stages do
//! is `shape.rs`, `compress.rs` and `lease_guard.rs`.

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What is done with a body.
pub(crate) trait Stage: Send + Unpin + 'static {
    /// How much is worked on before others get their turn.
    const PIECE: usize = usize::MAX;
    /// What comes out is as long as what goes in.
    const KEEPS_LENGTH: bool = false;

    /// Takes a piece, and gives what comes out of the stage so far.
    fn piece(&mut self, piece: Bytes) -> io::Result<Bytes>;

    /// There are no more pieces: gives what is left. Called once, and not when the body is dropped before its end.
    fn end(&mut self) -> io::Result<Bytes>;
}

struct Staged<S> {
    body: Body,
    stage: S,
    /// Taken from the body and not worked on yet.
    rest: Bytes,
    /// Worked on and not given out yet: the end, which comes with the last piece.
    last: Bytes,
    ended: bool,
    /// A piece was worked on, and others have not had their turn since.
    worked: bool,
}

/// The body behind a stage.
pub(crate) fn through(stage: impl Stage, body: Body) -> Body {
    Body::new(Staged { body, stage, rest: Bytes::new(), last: Bytes::new(), ended: false, worked: false })
}

impl<S: Stage> Staged<S> {
    /// Works on a piece, and ends the stage behind the last one: who takes the body may ask no further.
    fn work(&mut self) -> io::Result<Bytes> {
        let piece = self.rest.split_to(self.rest.len().min(S::PIECE));
        let out = self.stage.piece(piece)?;
        self.worked = true;
        if self.rest.is_empty() && self.body.is_end_stream() {
            self.ended = true;
            self.last = self.stage.end()?;
        }
        Ok(out)
    }
}

impl<S: Stage> HttpBody for Staged<S> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            if !this.rest.is_empty() {
                if std::mem::take(&mut this.worked) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                match this.work() {
                    Ok(out) if out.is_empty() => continue,
                    out => return Poll::Ready(Some(out.map(Frame::data).map_err(axum::Error::new))),
                }
            }
            this.worked = false;
            if !this.last.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.last)))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => this.rest = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    this.ended = true;
                    match this.stage.end() {
                        Ok(last) => this.last = last,
                        Err(error) => return Poll::Ready(Some(Err(axum::Error::new(error)))),
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.rest.is_empty() && self.last.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match S::KEEPS_LENGTH {
            true => self.body.size_hint(),
            false => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt, stream};
    use http_body_util::BodyExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Writes what it gets in brackets, in pieces of three bytes.
    struct Brackets(Arc<AtomicUsize>);

    impl Stage for Brackets {
        const PIECE: usize = 3;

        fn piece(&mut self, piece: Bytes) -> io::Result<Bytes> {
            Ok([b"[", &piece[..], b"]"].concat().into())
        }

        fn end(&mut self) -> io::Result<Bytes> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::from_static(b"."))
        }
    }

    #[tokio::test]
    async fn every_piece_goes_through_and_the_end_comes_once() {
        let parts = ["abcdefg", "", "hi"].map(|part| Ok::<_, io::Error>(Bytes::from_static(part.as_bytes())));
        for body in [Body::from("abcdefghi"), Body::from_stream(stream::iter(parts))] {
            let ends = Arc::new(AtomicUsize::new(0));
            let out = through(Brackets(Arc::clone(&ends)), body).collect().await.unwrap().to_bytes();
            let text = String::from_utf8(out.to_vec()).unwrap();
            assert_eq!(text.replace(['[', ']'], ""), "abcdefghi.");
            assert!(text.starts_with("[abc][def][g"), "{text}");
            assert_eq!(ends.load(Ordering::Relaxed), 1);
        }
    }

    #[tokio::test]
    async fn others_get_their_turn_between_two_pieces() {
        let ends = Arc::new(AtomicUsize::new(0));
        let mut body = through(Brackets(Arc::clone(&ends)), Body::from("abcdef")).into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), "[abc]");
        assert!(body.next().now_or_never().is_none());
        assert_eq!(body.next().await.unwrap().unwrap(), "[def]");
        assert_eq!(ends.load(Ordering::Relaxed), 1, "the end is known with the last piece");
        drop(body);
    }

    #[tokio::test]
    async fn a_body_that_is_dropped_early_has_no_end() {
        let ends = Arc::new(AtomicUsize::new(0));
        let mut body = through(Brackets(Arc::clone(&ends)), Body::from("abcdef")).into_data_stream();
        body.next().await.unwrap().unwrap();
        drop(body);
        assert_eq!(ends.load(Ordering::Relaxed), 0);
    }
}
