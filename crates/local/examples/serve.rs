//! Serves a local cloud until Ctrl-C: `cargo run -p bakelite-local --example serve -- DIRECTORY [LATENCY [NAME=ROOT…]]`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example, to try the API by hand"
)]

use bakelite_local::{ImageSource, Isolation, LocalCloud, LocalCloudOptions};

fn main() {
    bakelite_local::enter_if_asked();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(serve());
}

async fn serve() {
    let mut arguments = std::env::args().skip(1);
    let state_dir = arguments.next().unwrap().into();
    let latency = arguments
        .next()
        .map_or(Ok(bakelite_local::Latency::default()), |text| text.parse())
        .unwrap();
    let images = arguments.map(|image| {
        image
            .split_once('=')
            .map(|(name, root)| (name.into(), ImageSource::parse(root, std::path::Path::new("")).unwrap()))
            .unwrap()
    });
    let options = LocalCloudOptions {
        state_dir,
        isolation: Isolation::Sandbox,
        limits: bakelite_local::Limits::default(),
        latency,
        images: images.collect(),
        pulls: bakelite_local::PullOptions::default(),
        listen: ([127, 0, 0, 1], 0).into(),
        ssh_port: 22,
        refusals: bakelite_local::Refusals::default(),
        region: "us-east-1".into(),
    };
    let started = std::time::Instant::now();
    let cloud = LocalCloud::start(options).await.unwrap();
    let (endpoint, key) = (cloud.endpoint(), cloud.access_key());
    println!(
        "export AWS_ENDPOINT_URL={endpoint} AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={} AWS_REGION=us-east-1",
        key.id, key.secret
    );
    println!("started in {:?}; limits: {:?}", started.elapsed(), cloud.limits());
    tokio::signal::ctrl_c().await.unwrap();
    cloud.shutdown().await;
}
