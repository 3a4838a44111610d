use std::sync::{Arc, Mutex};

use alys_sync::{
    ports::{BlockSource, ChainError},
    types::{BlockRef, Height},
};
use bytes::Bytes;

use crate::support::{TestChain, TestNode, config, golden, serve};

/// A peer whose chain grows.
struct Growing(Mutex<Arc<TestChain>>);

impl Growing {
    fn now(&self) -> Arc<TestChain> {
        Arc::clone(&self.0.lock().unwrap())
    }
}

impl BlockSource for Growing {
    fn head(&self) -> BlockRef {
        self.now().head()
    }

    fn oldest(&self) -> Height {
        Height::GENESIS
    }

    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError> {
        self.now().read(start, blocks_max, bytes_max)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn synced_node_follows_a_network_that_grows() {
    let chain = golden();
    let growing = Arc::new(Growing(Mutex::new(Arc::new(chain.until(300)))));
    let server = serve(growing.clone()).await;
    let node = TestNode::fresh(&chain, config(&[&server])).await;
    node.node.start_sync(None).await.unwrap();
    assert_eq!(node.until_synced().await.current_height, Height::new(300));
    for height in [301, 302, 310, 900] {
        *growing.0.lock().unwrap() = Arc::new(chain.until(height));
        node.until_height(height).await;
        assert_eq!(node.until_synced().await.current_height, Height::new(height));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn synced_node_serves_what_it_synced_to_the_next() {
    let chain = Arc::new(golden().until(800));
    let server = serve(chain.clone()).await;
    let first = TestNode::fresh(&chain, config(&[&server])).await;
    first.node.start_sync(None).await.unwrap();
    first.until_synced().await;
    drop(server);
    let mut settings = config(&[]);
    settings.peers.bootnodes = first.node.listening().await.unwrap();
    let second = TestNode::fresh(&chain, settings).await;
    second.node.start_sync(None).await.unwrap();
    assert_eq!(second.until_synced().await.head, chain.head.root);
    second.stop().await;
    first.stop().await;
}
