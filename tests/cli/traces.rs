//! Traces of a real sync at a real collector: a gRPC server in this process.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::support::{Chain, DEADLINE, Outcome, Running, closed_port, command};

const BLOCKS: u64 = 300;

/// Keeps the spans that arrive, with the name of the service they come from.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_resource in request.into_inner().resource_spans {
            let resource = of_resource.resource.unwrap_or_default();
            let service = text(&resource.attributes, "service.name").unwrap_or_default();
            let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.lock().unwrap().extend(spans.map(|span| (service.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// A collector, and its address.
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self::default();
        let server = Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, address)
    }

    fn spans(&self) -> Vec<(String, Span)> {
        self.0.lock().unwrap().clone()
    }
}

fn value(attributes: &[KeyValue], key: &str) -> Option<Value> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    attribute.value.clone()?.value
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    if let Some(Value::StringValue(text)) = value(attributes, key) { Some(text) } else { None }
}

fn number(attributes: &[KeyValue], key: &str) -> Option<i64> {
    if let Some(Value::IntValue(number)) = value(attributes, key) { Some(number) } else { None }
}

async fn demo(args: &[&str], variable: Option<&str>) -> Outcome {
    let blocks = BLOCKS.to_string();
    let all = [&["demo", "--peers", "2", "--blocks", &blocks, "--json"], args].concat();
    let mut command = command(&all);
    command.envs(variable.map(|address| ("OTEL_EXPORTER_OTLP_ENDPOINT", address)));
    let output = timeout(DEADLINE, command.output()).await.expect("it hangs").unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_to_a_peer_is_a_span_at_the_collector_whatever_is_logged() {
    let (collector, address) = Collector::start().await;
    // Nothing at all is logged.
    demo(&["--otlp-endpoint", &address, "--log", "off"], None).await.done();
    let spans = collector.spans();
    assert!(spans.iter().all(|(service, _)| service == "alys-sync"));
    let names: BTreeMap<_, _> = spans.iter().map(|(_, span)| (&span.span_id, span)).collect();
    let calls: Vec<_> =
        spans.iter().map(|(_, span)| span).filter(|s| s.name == "peer_call").collect();
    assert!(!calls.is_empty(), "{} spans", spans.len());
    let mut blocks = 0;
    for call in &calls {
        let attributes = &call.attributes;
        let came = number(attributes, "blocks").unwrap();
        blocks += came;
        assert!(text(attributes, "peer").unwrap().starts_with("12D3"), "{call:?}");
        assert!(text(attributes, "range").is_some(), "{call:?}");
        assert_eq!(text(attributes, "breaker").as_deref(), Some("closed"));
        let outcome = text(attributes, "outcome").unwrap();
        assert!(["ended", "dropped", "failed"].contains(&&*outcome), "{outcome}");
        assert_eq!(number(attributes, "bytes").unwrap() > 0, came > 0, "{call:?}");
        assert_eq!(value(attributes, "first_block_ms").is_some(), came > 0, "{call:?}");
        let parent = names.get(&call.parent_span_id).expect("its parent is there, too");
        assert!(["segment", "probe"].contains(&&*parent.name), "{}", parent.name);
        assert_eq!(call.trace_id, parent.trace_id);
        assert!(parent.start_time_unix_nano <= call.start_time_unix_nano);
    }
    assert!(blocks >= i64::try_from(BLOCKS).unwrap(), "{blocks} in {} requests", calls.len());
    let foreign =
        spans.iter().find(|(_, s)| !["peer_call", "segment", "probe"].contains(&&*s.name));
    assert!(foreign.is_none(), "{foreign:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environment_names_the_collector_where_no_flag_does() {
    let (collector, address) = Collector::start().await;
    demo(&[], Some(&address)).await.done();
    assert!(collector.spans().iter().any(|(_, span)| span.name == "peer_call"));
    let said = demo(&[], Some("nowhere")).await;
    said.refused(2, &["OTEL_EXPORTER_OTLP_ENDPOINT", "give http://HOST:PORT"]);
    demo(&["--otlp-endpoint", "https://a:1"], None).await.refused(2, &["give http://HOST:PORT"]);
}

#[tokio::test]
async fn collector_that_is_down_costs_no_more_than_a_warning() {
    let (_held, nobody) = closed_port();
    let address = format!("http://{nobody}");
    let begun = Instant::now();
    let said = demo(&["--otlp-endpoint", &address], None).await;
    assert!(begun.elapsed() < DEADLINE / 2);
    said.done();
    let warnings = said.stderr.matches("the collector takes no traces").count();
    assert!(warnings <= 1, "{}", said.stderr);
}

/// A process that serves `chain` with these arguments more.
#[cfg(target_os = "linux")]
async fn serving(chain: &Chain, more: &[&str]) -> Running {
    let listen = ["--listen", "/ip4/127.0.0.1/tcp/0"];
    let serve = ["serve", "--chain-spec", chain.spec(), "--chain", chain.file()];
    let mut server = Running::start(&[&serve[..], &listen, more].concat());
    server.line().await;
    server
}

/// Whether `server` has a thread that sends traces.
#[cfg(target_os = "linux")]
fn exports(server: &Running) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
    let names = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")));
    names.filter_map(Result::ok).any(|name| name.starts_with("OpenTelemetry"))
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_a_collector_there_is_no_exporter() {
    let chain = Chain::new(3);
    let sends = serving(&chain, &["--otlp-endpoint", "http://127.0.0.1:1"]).await;
    // A thread gives itself its name a moment after it was started.
    let named = timeout(DEADLINE, async {
        while !exports(&sends) {
            sleep(Duration::from_millis(10)).await;
        }
    });
    named.await.expect("nothing sends traces");
    assert!(!exports(&serving(&chain, &[]).await));
}
