#!/bin/sh
# The worked example of the P2PS papers with the p2ps command: node 1 on port 3001 makes a network; node 16 joins on 3002;
# a third node, id and port left to the system, joins through node 16, sends to the node responsible for key 42 and to the
# list 1, 16. Ports may be given: three.sh [PORT1 PORT2]. Needs p2ps in PATH.
set -eu
port1=${1:-3001} port2=${2:-3002}
home=$(mktemp -d)
stop() {
	for n in third sixteen one; do p2ps down --dir "$home/$n" >/dev/null 2>&1 || true; done
	rm -rf "$home"
}
trap stop EXIT

p2ps create --open --bits 16 --id 1 --listen "127.0.0.1:$port1" --dir "$home/one" >/dev/null
p2ps join "127.0.0.1:$port1" --id 16 --listen "127.0.0.1:$port2" --dir "$home/sixteen" >/dev/null
p2ps join "127.0.0.1:$port2" --listen 127.0.0.1:0 --dir "$home/third" >/dev/null

p2ps send --key 42 "to whoever is responsible for key 42" --dir "$home/third" >/dev/null
p2ps multicast 1,16 "to nodes 1 and 16" --dir "$home/third" >/dev/null

for n in one sixteen third; do
	echo "node $n received:"
	p2ps messages --dir "$home/$n" | sed 's/^#[0-9]* from [0-9]* /  /'
done
