//! The order of things: prepare, interleaved runs, start-ups, the verdict.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::Args;
use crate::answer::{self, Answer, Expected};
use crate::gateways::{self, Gateway, Kind, Setup};
use crate::http;
use crate::lanes::{self, Lane, ORDINARY, ROUTE_MODEL, Traffic, Work};
use crate::load::{self, Load};
use crate::mock::MockProcess;
use crate::proc::{self, Cores};
use crate::slow;
use crate::table::{self, Row, Samples};

/// How long a single checked request may take.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// Starts per gateway of the start-up lane; a smoke run makes two.
const STARTS: u32 = 10;

/// Runs the bench as the arguments say. False means that a limit is passed and that `--gate` was given.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let began = Instant::now();
    let lanes = lanes::select(&args.lanes)?;
    let nginx = gateways::find_nginx(args.nginx.as_deref())?;
    let a6 = gateways::find_a6(args.a6.as_deref())?;
    if nginx.is_none() {
        if args.gate {
            bail!("--gate needs nginx to compare with (Debian: apt-get install nginx-light)");
        }
        println!("skipped: nginx not found; only a6 is run, without ratios");
    }
    let open_files = proc::raise_open_files()?;
    let streams = if args.smoke { lanes::SLOW_STREAMS_SMOKE } else { lanes::SLOW_STREAMS };
    let slow_wanted = lanes.iter().any(|lane| is_slow(lane));
    if slow_wanted && open_files < u64::from(streams) * 2 + 200 {
        bail!("the slow lanes need {} open files, the limit is {open_files}: ulimit -n", streams * 2 + 200);
    }
    let cores = Cores::divide()?;
    println!("{}", cores.as_ref().map_or("one core: nothing is pinned", |cores| cores.text.as_str()));
    let dir = tempfile::Builder::new().prefix("a6-bench-").tempdir().context("no temporary directory")?;
    let mock = MockProcess::start()?;
    let probe = lanes::request(&lanes::SMALLEST);
    let setup = Setup { a6, nginx, mock: mock.addr, dir: dir.path().to_owned(), cores, probe };
    setup.create_routes()?;

    let samples = lanes.into_iter().map(Samples::new).collect();
    let mut session = Session { setup, smoke: args.smoke, streams, samples };
    let runs = if args.smoke { 1 } else { args.runs };
    for run in 0..runs {
        session.run(run)?;
        eprintln!("run {} of {runs} done after {:.0} s", run + 1, began.elapsed().as_secs_f64());
    }
    session.start_ups()?;
    session.binary()?;
    session.report(args, runs, began)
}

fn is_slow(lane: &Lane) -> bool {
    matches!(lane.work, Work::SlowCpu | Work::SlowMemory)
}

struct Session {
    setup: Setup,
    smoke: bool,
    streams: u32,
    samples: Vec<Samples>,
}

/// A lane's request and what the mock itself answers to it.
struct Exchange {
    request: Arc<[u8]>,
    stream: bool,
    /// a6 passes it to an ordinary upstream, and leaves its model alone.
    is_ordinary: bool,
    answer: Answer,
    expected: Expected,
}

impl Session {
    /// One run: fresh gateways, then every lane on each, neighbours in time; every second run in the other order.
    fn run(&mut self, run: u32) -> Result<()> {
        let mut kinds = self.setup.kinds();
        if run % 2 == 1 {
            kinds.reverse();
        }
        let mut running = Vec::new();
        for kind in kinds {
            running.push((kind, self.setup.start(kind)?));
        }
        // Memory first, while the gateways are fresh.
        for (kind, gateway) in &running {
            let idle = gateway.pss_kib()? as f64 / 1024.0;
            self.add(|lane| matches!(lane.work, Work::Idle), *kind, idle);
        }
        if self.samples.iter().any(|samples| is_slow(samples.lane)) {
            let traffic = if self.smoke { lanes::SLOW_SMOKE } else { lanes::SLOW };
            let exchange = self.exchange(&traffic)?;
            for (kind, gateway) in &running {
                let cost = self
                    .slow(&exchange, &traffic, *kind, gateway)
                    .with_context(|| format!("lane slow-1000, {}", kind.name()))?;
                self.add(|lane| matches!(lane.work, Work::SlowCpu), *kind, cost.cpu_ns / 1000.0);
                self.add(|lane| matches!(lane.work, Work::SlowMemory), *kind, cost.pss_kib);
            }
        }
        for index in 0..self.samples.len() {
            let lane = self.samples[index].lane;
            let Work::Requests(traffic) = &lane.work else { continue };
            let exchange = self.exchange(traffic).with_context(|| format!("lane {}, mock", lane.name))?;
            for (kind, gateway) in &running {
                let nanoseconds = self
                    .requests(&exchange, traffic, *kind, gateway)
                    .with_context(|| format!("lane {}, {}", lane.name, kind.name()))?;
                self.samples[index].add(*kind, nanoseconds / 1000.0);
            }
        }
        Ok(())
    }

    fn add(&mut self, wanted: impl Fn(&Lane) -> bool, kind: Kind, value: f64) {
        for samples in self.samples.iter_mut().filter(|samples| wanted(samples.lane)) {
            samples.add(kind, value);
        }
    }

    /// Asks the mock itself: what a gateway must pass on.
    fn exchange(&self, traffic: &Traffic) -> Result<Exchange> {
        let request = lanes::request(traffic);
        let reply = http::call(self.setup.mock, &request, CALL_LIMIT)?;
        let (answer, expected) = answer::read(&reply, traffic.stream)?;
        let is_ordinary = traffic.path == ORDINARY;
        Ok(Exchange { request: request.into(), stream: traffic.stream, is_ordinary, answer, expected })
    }

    /// Sends one request and compares what the answer says; then the load may run on cheap checks.
    fn checked(&self, exchange: &Exchange, kind: Kind, gateway: &Gateway) -> Result<Load> {
        let reply = http::call(gateway.addr, &exchange.request, CALL_LIMIT)?;
        let (answer, expected) = answer::read(&reply, exchange.stream)?;
        let mut wanted = exchange.answer.clone();
        if kind == Kind::A6 && !exchange.is_ordinary {
            ROUTE_MODEL.clone_into(&mut wanted.model);
        }
        if answer != wanted {
            bail!("wrong answer: {answer:?} instead of {wanted:?}");
        }
        if expected != exchange.expected {
            bail!("the mock's reply was changed: {expected:?} instead of {:?}", exchange.expected);
        }
        Ok(Load { addr: gateway.addr, request: Arc::clone(&exchange.request), expected })
    }

    fn requests(&self, exchange: &Exchange, traffic: &Traffic, kind: Kind, gateway: &Gateway) -> Result<f64> {
        let load = self.checked(exchange, kind, gateway)?;
        let count = if self.smoke { traffic.smoke } else { traffic.requests };
        load::cpu_per_request(&load, traffic.connections, count / 10, count, || gateway.cpu_ns())
    }

    fn slow(
        &self,
        exchange: &Exchange,
        traffic: &Traffic,
        kind: Kind,
        gateway: &Gateway,
    ) -> Result<slow::Cost> {
        let load = self.checked(exchange, kind, gateway)?;
        let life = Duration::from_millis(u64::from(traffic.delay_ms * lanes::SLOW_EVENTS));
        slow::measure(&load, self.streams, life, || gateway.cpu_ns(), || gateway.pss_kib())
    }

    /// Starts over a data directory that already holds the route, nginx and a6 in turn.
    fn start_ups(&mut self) -> Result<()> {
        if !self.samples.iter().any(|samples| matches!(samples.lane.work, Work::StartUp)) {
            return Ok(());
        }
        let starts = if self.smoke { 2 } else { STARTS };
        for _ in 0..starts {
            for kind in self.setup.kinds() {
                let gateway = self.setup.start(kind).with_context(|| format!("starting {}", kind.name()))?;
                let milliseconds = gateway.ready_after.as_secs_f64() * 1000.0;
                self.add(|lane| matches!(lane.work, Work::StartUp), kind, milliseconds);
            }
        }
        Ok(())
    }

    fn binary(&mut self) -> Result<()> {
        let path = &self.setup.a6;
        let file = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        let size = file.len() as f64 / 1024.0 / 1024.0;
        self.add(|lane| matches!(lane.work, Work::Binary), Kind::A6, size);
        Ok(())
    }

    fn report(&self, args: &Args, runs: u32, began: Instant) -> Result<bool> {
        let rows: Vec<Row> = self.samples.iter().map(Samples::row).collect();
        if self.smoke {
            let names: Vec<_> = self.setup.kinds().into_iter().map(Kind::name).collect();
            println!(
                "bench smoke: {} lanes, every answer of {} right ({:.1} s)",
                rows.len(),
                names.join(" and "),
                began.elapsed().as_secs_f64()
            );
        } else {
            print!("{}", table::render(&rows));
        }
        if let Some(path) = &args.json {
            let report = json!({ "smoke": self.smoke, "runs": runs, "lanes": rows });
            let text = serde_json::to_string_pretty(&report)?;
            fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(!args.gate || rows.iter().all(Row::holds))
    }
}
