use tokio::io::{DuplexStream, duplex};

use super::*;

const RATE: u32 = 2_500_000;
const DELAY: Duration = Duration::from_millis(25);

fn way(bytes_per_second: Option<u32>) -> Arc<Way> {
    let bytes_per_second = bytes_per_second.and_then(|rate| NonZeroU64::new(rate.into()));
    Arc::new(Way::new(LinkShape { delay: DELAY, bytes_per_second }))
}

/// A connection over `way`: where to write, and where it comes out.
fn carried(way: &Arc<Way>) -> (DuplexStream, DuplexStream) {
    let (sender, from) = duplex(PARCEL_BYTES);
    let (to, receiver) = duplex(PARCEL_BYTES);
    tokio::spawn(Arc::clone(way).carry(from, to));
    (sender, receiver)
}

/// When `bytes` bytes, written as fast as they are taken, have come out.
async fn time_of(way: &Arc<Way>, bytes: usize) -> Duration {
    let (mut sender, mut receiver) = carried(way);
    let began = Instant::now();
    tokio::spawn(async move { sender.write_all(&vec![7; bytes]).await });
    let mut out = Vec::new();
    receiver.read_to_end(&mut out).await.unwrap();
    assert!(out.len() == bytes && out.iter().all(|byte| *byte == 7));
    began.elapsed()
}

fn about(found: Duration, wanted: f64) -> bool {
    (found.as_secs_f64() - wanted).abs() < 0.002 + 0.002 * wanted
}

#[tokio::test(start_paused = true)]
async fn rate_is_kept_although_timers_are_coarse() {
    let took = time_of(&way(Some(RATE)), 10 * RATE as usize).await;
    assert!(about(took, 10.025), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn single_byte_takes_the_delay() {
    for rate in [None, Some(RATE)] {
        let took = time_of(&way(rate), 1).await;
        assert!(about(took, 0.025), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_of_a_link_share_its_rate() {
    let way = way(Some(RATE));
    let half = RATE as usize / 2;
    let (one, two) = tokio::join!(time_of(&way, half), time_of(&way, half));
    assert!(about(one.max(two), 1.025), "{one:?} {two:?}");
    assert_eq!(way.carried.load(Ordering::Relaxed), u64::from(RATE));
}

#[tokio::test(start_paused = true)]
async fn sender_is_held_up_when_nobody_reads() {
    let way = way(Some(RATE));
    let (mut sender, _receiver) = carried(&way);
    let taken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&taken);
    let sending = tokio::spawn(async move {
        loop {
            sender.write_all(&[0; 1024]).await.unwrap();
            count.fetch_add(1024, Ordering::Relaxed);
        }
    });
    sleep(Duration::from_secs(60)).await;
    sending.abort();
    let most = way.room_bytes() + 4 * PARCEL_BYTES;
    let taken = taken.load(Ordering::Relaxed);
    assert!((PARCEL_BYTES as u64..=most as u64).contains(&taken), "{taken} of {most}");
}

#[tokio::test]
async fn connection_goes_through_to_the_server_and_is_counted() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = server.local_addr().unwrap().port();
    let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let shape = LinkShape { delay: Duration::ZERO, bytes_per_second: None };
    let link = ShapedLink::to(&address, shape).unwrap();
    let port = tcp_port(link.address()).unwrap();
    let mut node = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let (mut served, _) = server.accept().await.unwrap();
    node.write_all(b"asked").await.unwrap();
    let mut asked = [0; 5];
    served.read_exact(&mut asked).await.unwrap();
    served.write_all(b"answered").await.unwrap();
    drop(served);
    let mut answered = Vec::new();
    node.read_to_end(&mut answered).await.unwrap();
    assert_eq!((&asked, &answered[..]), (b"asked", &b"answered"[..]));
    assert_eq!(link.bytes_to_node(), 8);
    assert!(ShapedLink::to(&"/ip4/127.0.0.1/udp/1".parse().unwrap(), shape).is_err());
}
