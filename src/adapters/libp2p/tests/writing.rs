//! How a reply gets into a stream that takes it, or does not.

use tokio::time::{Instant, sleep};

use super::{window::Reader, *};
use crate::adapters::libp2p::exchange::{Progress, ReplyGone, ReplyWriter, STALLED_BYTES_MAX};

fn bytes(count: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(count).collect()
}

#[tokio::test(start_paused = true)]
async fn piece_that_is_taken_bit_by_bit_is_not_given_back() {
    let (writer, reply) = ReplyWriter::channel();
    let reader = Reader::of(reply);
    let mut piece = writer.hand_over(bytes(10_000)).await.unwrap();
    for _ in 0..100 {
        sleep(Duration::from_millis(400)).await;
        reader.take(100);
    }
    assert!(matches!(piece.next().await, Ok(Progress::Taken)));
    assert_eq!(reader.taken(), bytes(10_000));
}

#[tokio::test(start_paused = true)]
async fn stream_that_takes_nothing_gives_its_piece_back_but_for_a_little() {
    let (writer, reply) = ReplyWriter::channel();
    let reader = Reader::of(reply);
    reader.take(1_000);
    let begun = Instant::now();
    let mut piece = writer.hand_over(bytes(100_000)).await.unwrap();
    let Ok(Progress::Stalled { bytes: back, sent }) = piece.next().await else { panic!() };
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!((back.len(), sent), (100_000, 1_000 + STALLED_BYTES_MAX));
    reader.take(usize::MAX);
    assert!(matches!(piece.next().await, Ok(Progress::Taken)));
    assert_eq!(reader.taken(), back[..sent]);
    // The rest can be handed over again.
    let mut rest = writer.hand_over(back[sent..].to_vec()).await.unwrap();
    assert!(matches!(rest.next().await, Ok(Progress::Taken)));
    assert_eq!(reader.taken(), back);
}

#[tokio::test(start_paused = true)]
async fn reply_of_which_nothing_is_taken_for_long_is_given_up() {
    let (writer, reply) = ReplyWriter::channel();
    let reader = Reader::of(reply);
    let mut piece = writer.hand_over(bytes(100)).await.unwrap();
    assert!(matches!(piece.next().await, Ok(Progress::Stalled { sent: 100, .. })));
    let begun = Instant::now();
    assert_eq!(piece.next().await.err(), Some(ReplyGone));
    assert!(begun.elapsed() > Duration::from_secs(10));
    writer.gone().await;
    assert!(reader.end().await.1.is_err());
}
