//! Children that hang, and children that fail at every start.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::time::{Instant, sleep};

use super::*;

/// Starts the network, and later ones as long as they may.
struct Failing {
    network: StarterDouble,
    broken: AtomicBool,
    starts: AtomicU64,
}

impl Failing {
    fn new() -> Arc<Self> {
        let network = StarterDouble { network: NetworkDouble::honest(), peers: vec![peer(1)] };
        Arc::new(Self { network, broken: AtomicBool::default(), starts: AtomicU64::default() })
    }
}

impl NetworkStarter for Failing {
    fn start(
        &self,
        source: Arc<dyn BlockSource>,
        events: Arc<dyn NetworkEvents>,
    ) -> BoxFuture<'static, Result<Arc<dyn PeerNetwork>, NetworkError>> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        if self.broken.load(Ordering::Relaxed) {
            let reason = "the port is taken".to_owned();
            return futures::future::ready(Err(NetworkError::Transport { reason })).boxed();
        }
        self.network.start(source, events)
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }
}

/// Everything that is logged on this thread while it is there.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// With one subscriber in the process, tracing asks the thread that comes by first whether a
    /// line is wanted, and that may be the thread of another test: so there are two.
    fn keep(&self) -> (tracing::subscriber::DefaultGuard, tracing::Dispatch) {
        let log = self.clone();
        let to_log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone());
        let second = tracing::Dispatch::new(tracing_subscriber::registry());
        (tracing::subscriber::set_default(to_log.finish()), second)
    }

    fn lines_with(&self, word: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(word)).map(str::to_owned).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn child_that_fails_at_every_start_ends_the_tree_with_the_reason_and_the_process_goes_on() {
    let log = Log::default();
    let _kept = log.keep();
    let starter = Failing::new();
    let (node, _) = node_with(starter.clone(), []).await;
    starter.broken.store(true, Ordering::Relaxed);
    let broke = Instant::now();
    assert!(node.kill(Child::PeerNetwork));
    let SupervisorExit::Escalated(why) = node.ended().await else { panic!("it goes on") };
    assert_eq!(why.child, Child::PeerNetwork.id());
    assert_eq!(why.cause, EscalationCause::ChildIntensityExceeded);
    let error = why.exit.downcast_ref::<NetworkError>().expect("the type survives");
    assert!(matches!(error, NetworkError::Transport { .. }), "{error}");
    // Patient with an interface that comes up late, and no longer.
    let patience = broke.elapsed().as_secs();
    assert!((120..=300).contains(&patience), "{patience}");
    assert_eq!(starter.starts.load(Ordering::Relaxed), 1 + u64::from(why.restarts - 1));
    let said = log.lines_with("supervisor gives up");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("PeerNetwork") && said[0].contains("the port is taken"), "{said:?}");
    for child in Child::ALL {
        assert!(!node.kill(child), "{child} is still up");
    }
    drop(node);
    // The process goes on, and can try again once the fault is gone.
    starter.broken.store(false, Ordering::Relaxed);
    let (node, _) = node_with(starter, []).await;
    node.start_sync(None).await.unwrap();
    until_synced(&node, 100).await;
    node.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn fault_that_passes_within_two_minutes_ends_nothing() {
    let starter = Failing::new();
    let (node, _) = node_with(starter.clone(), []).await;
    starter.broken.store(true, Ordering::Relaxed);
    assert!(node.kill(Child::PeerNetwork));
    sleep(Duration::from_secs(120)).await;
    starter.broken.store(false, Ordering::Relaxed);
    node.start_sync(None).await.unwrap();
    until_synced(&node, 100).await;
    node.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn child_that_hangs_at_once_whenever_it_is_up_ends_the_tree() {
    for child in Child::ALL {
        let (node, _) = node([]).await;
        let began = Instant::now();
        let hangs = async {
            loop {
                node.strike(child, Strike::Hang);
                sleep(Duration::from_millis(50)).await;
            }
        };
        let exit = tokio::select! {
            exit = node.ended() => exit,
            () = hangs => unreachable!("it strikes for ever"),
        };
        let SupervisorExit::Escalated(why) = exit else { panic!("{exit:?}") };
        assert_eq!((why.child, why.cause), (child.id(), EscalationCause::ChildIntensityExceeded));
        assert!(matches!(why.exit, ChildExit::Hung(_)), "{why:?}");
        assert!(began.elapsed() <= Duration::from_secs(600), "{child} {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn child_that_hangs_is_back_within_six_seconds_and_the_sync_completes() {
    for child in Child::ALL {
        let (node, chain) = node([]).await;
        assert!(node.strike(child, Strike::Hang));
        let hung = Instant::now();
        while node.incarnation(child) == 1 {
            sleep(Duration::from_millis(1)).await;
        }
        let away = hung.elapsed();
        assert!((5..=6).contains(&away.as_secs()), "{child} {away:?}");
        node.start_sync(None).await.unwrap();
        until_synced(&node, 100).await;
        assert_eq!(written(&chain), (1..=100).collect::<Vec<_>>(), "{child}");
        node.shutdown(Duration::from_secs(10)).await.unwrap();
        assert_eq!(node.budget().used, 0, "{child}");
    }
}

#[tokio::test(start_paused = true)]
async fn child_that_hangs_in_the_middle_of_a_sync_does_not_stop_it() {
    for child in Child::ALL {
        // A block takes 50 ms to come.
        let network = NetworkDouble::new(|_, range| {
            let held = range.heights().filter(|height| (1..=100).contains(&height.get()));
            let held: Vec<_> = held.collect();
            let blocks = futures::stream::iter(held).then(|height| async move {
                sleep(Duration::from_millis(50)).await;
                Ok(blocks().raw(height.get()))
            });
            Ok(blocks.boxed())
        });
        let (node, chain) = node_over(network, []).await;
        node.start_sync(None).await.unwrap();
        let mut status = node.watch();
        status.wait_for(|status| status.current_height >= Height::new(5)).await.unwrap();
        assert!(node.strike(child, Strike::Hang));
        let synced = tokio::time::timeout(Duration::from_secs(60), until_synced(&node, 100)).await;
        assert!(synced.is_ok(), "{child}: {:?} {:?}", node.status(), node.window().await);
        assert_eq!(written(&chain), (1..=100).collect::<Vec<_>>(), "{child}");
        node.shutdown(Duration::from_secs(30)).await.unwrap();
        assert_eq!(node.budget().used, 0, "{child}");
    }
}

#[tokio::test(start_paused = true)]
async fn child_that_panics_or_fails_is_started_again_with_its_reason_told() {
    for child in Child::ALL {
        let (node, _) = node([]).await;
        for (incarnation, strike) in [(1, Strike::Panic), (2, Strike::Fail)] {
            let mut reports = node.reports();
            assert!(node.strike(child, strike));
            let exit = crate::doubles::exit_of(child.id(), &mut reports).await;
            let told = exit.downcast_ref::<supervisors::StruckDown>().is_some();
            assert_eq!(told, strike == Strike::Fail, "{child} {exit:?}");
            while node.incarnation(child) == incarnation {
                sleep(Duration::from_millis(1)).await;
            }
        }
        node.shutdown(Duration::from_secs(30)).await.unwrap();
    }
}
