use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use supervisors::{ChildHandle, ChildSpec, SupervisorHandle};

use super::*;
use crate::{
    doubles::{NetworkDouble, blocks, peer, recorded, stream_of, tree},
    ports::{InlineCompute, OsEntropy, PeerNetwork, SystemClock},
    resilience::NetworkSlot,
    validation::{ValidatorArgs, ValidatorMsg, ValidatorPool},
};

const DEADLINE: Duration = Duration::from_secs(5);

/// A prober over `network` with a budget that is spent, and what keeps it alive.
async fn real(network: &Arc<NetworkDouble>) -> (Prober, SupervisorHandle) {
    let pool = ChildHandle::new("pool");
    let args = ValidatorArgs {
        verifier: Arc::clone(&blocks().verifier),
        compute: Arc::new(InlineCompute),
        entropy: Arc::new(OsEntropy),
        meter: Arc::default(),
    };
    let spec = ChildSpec::new(&pool, move || (ValidatorPool, args.clone()));
    let tree = tree([spec]).await;
    (over(network, ValidatorHandle::new(pool)), tree)
}

fn over(network: &Arc<NetworkDouble>, validator: ValidatorHandle) -> Prober {
    let slot = NetworkSlot::default();
    slot.publish(&(Arc::clone(network) as Arc<dyn PeerNetwork>));
    let caller = PeerCaller::outside_a_node(slot, Arc::new(SystemClock::start()));
    Prober { caller, validator, budget: ByteBudget::new(0), deadline: DEADLINE }
}

/// The answer of a peer that sends `sent` when it is asked for block 3.
async fn answer_to(sent: Vec<Result<Bytes, RequestError>>) -> ProbeAnswer {
    let network = NetworkDouble::new(move |_, _| Ok(stream_of(sent.clone())));
    let (prober, _tree) = real(&network).await;
    let answer = prober.probe(peer(1), Height::new(3)).await;
    assert_eq!(network.asked(), [(peer(1), HeightRange::single(Height::new(3)))]);
    assert_eq!(prober.budget.gauge().used, 0, "the block is let go");
    answer
}

#[tokio::test(start_paused = true)]
async fn block_that_a_majority_signed_proves_its_height() {
    let block = blocks().at(3);
    let answer = answer_to(vec![Ok(block.raw().clone()), Ok(blocks().raw(4))]).await;
    let ProbeAnswer::Block(proven) = answer else { panic!("{answer:?}") };
    let (height, root, parent) = (block.height(), block.root(), block.parent());
    assert_eq!(proven, ProvenBlock { height, root, parent });
}

#[tokio::test(start_paused = true)]
async fn clean_close_is_nothing_and_an_error_is_told() {
    assert!(matches!(answer_to(Vec::new()).await, ProbeAnswer::Nothing));
    let answer = answer_to(vec![Err(RequestError::Cut)]).await;
    assert!(matches!(answer, ProbeAnswer::Failed(RequestError::Cut)), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn silence_fails_at_the_deadline() {
    let network = NetworkDouble::new(|_, _| Ok(stream::pending().boxed()));
    let (prober, _tree) = real(&network).await;
    let answer = prober.probe(peer(1), Height::new(3)).await;
    let timed_out = RequestError::TimedOut { waited: DEADLINE };
    assert!(matches!(&answer, ProbeAnswer::Failed(error) if *error == timed_out), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn block_that_does_not_pass_is_a_fault_with_the_parent_it_names() {
    let faults = [
        (blocks().badly_signed(3), Some(blocks().at(2).root()), true),
        (Bytes::from_static(b"no block"), None, true),
        (blocks().raw(5), Some(blocks().at(4).root()), false),
    ];
    for (raw, names, lie) in faults {
        let answer = answer_to(vec![Ok(raw)]).await;
        let ProbeAnswer::Fault { parent, fault } = answer else { panic!("{answer:?}") };
        assert_eq!((parent, fault.is_provable_lie()), (names, lie), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn lost_verdict_is_no_verdict() {
    let network = NetworkDouble::honest();
    let mut pool = recorded::<ValidatorMsg>("pool");
    let _tree = tree([pool.spec]).await;
    let prober = over(&network, ValidatorHandle::new(pool.handle));
    let probe = prober.probe(peer(1), Height::new(3));
    let lose = async { drop(pool.told.recv().await) };
    let (answer, ()) = futures::future::join(probe, lose).await;
    assert!(matches!(answer, ProbeAnswer::NoVerdict), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn panic_on_the_way_is_no_verdict_and_not_silence() {
    let network = NetworkDouble::new(|_, _| panic!("the network panics"));
    let (prober, _tree) = real(&network).await;
    let answer = prober.probe(peer(1), Height::new(3)).await;
    assert!(matches!(answer, ProbeAnswer::NoVerdict), "{answer:?}");
    let network = NetworkDouble::new(|_, _| Ok(stream::poll_fn(|_| panic!("later")).boxed()));
    let (prober, _tree) = real(&network).await;
    let answer = prober.probe(peer(1), Height::new(3)).await;
    assert!(matches!(answer, ProbeAnswer::NoVerdict), "{answer:?}");
}
