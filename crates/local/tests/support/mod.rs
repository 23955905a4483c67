use std::net::Ipv4Addr;
use bakelite_local::machine::*;
use libtest_mimic::Trial;
pub fn trials() -> Vec<Trial> {
    vec![Trial::test("smoke", || { smoke(); Ok(()) })]
}
fn smoke() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    rt.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let d = dir.path().join("store");
        let t = std::time::Instant::now();
        let m = match Machines::open(&d, Isolation::Sandbox).await { Ok(m) => m, Err(e) => panic!("{e} {:?}", e.help()) };
        println!("open {:?} {:?}", t.elapsed(), m.limits());
        let root = m.base(&BaseRoot::Host).await.unwrap();
        println!("base {:?}", t.elapsed());
        let key = dir.path().join("key");
        std::process::Command::new("ssh-keygen").args(["-q","-t","ed25519","-N","","-f"]).arg(&key).status().unwrap();
        let line = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        let t = std::time::Instant::now();
        let spec = MachineSpec { id: "i-1".into(), root: root.clone(), hostname: "ip-10-0-0-1".into(), users: vec!["ec2-user".into()], authorized_keys: vec![line], user_data: Some(b"#!/bin/sh\necho hello from user data; id".to_vec()), address: Ipv4Addr::new(127,0,0,77), ssh_port: 0 };
        let machine = m.start(spec.clone()).await.unwrap();
        println!("start {:?} {} {}", t.elapsed(), machine.ssh_address(), machine.host_key());
        if let Ok(command) = std::env::var("SMOKE") {
            let t = std::time::Instant::now();
            let status = tokio::process::Command::new("sh").arg("-c").arg(command).env("P", machine.ssh_address().port().to_string()).env("K", &key)
                .env("SSHO", format!("-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes -i {} -p {}", key.display(), machine.ssh_address().port()))
                .status().await.unwrap();
            println!("{status} {:?}", t.elapsed());
        }
        println!("console {}", String::from_utf8_lossy(&machine.console_output()));
        let t = std::time::Instant::now();
        machine.stop().await;
        println!("stop {:?}", t.elapsed());
        let t = std::time::Instant::now();
        let snap = m.snapshot("i-1").await.unwrap();
        println!("snapshot {:?} {:?}", snap, t.elapsed());
        let t = std::time::Instant::now();
        m.discard("i-1").await.unwrap();
        println!("discard {:?}", t.elapsed());
        let t = std::time::Instant::now();
        println!("run: {:?}", m.run(&snap, &["sh".into(), "-c".into(), "id; ls -la / /home/* /etc/hosts; cat /proc/mounts".into()]).await);
        println!("run {:?}", t.elapsed());
        Machines::reset(&d).await.unwrap();
        println!("left: {}", d.exists());
    });
}
