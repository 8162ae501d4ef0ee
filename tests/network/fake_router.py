#!/usr/bin/env python3
"""A router's port forwarding as far as p2ps asks for it: NAT-PMP (RFC 6886), PCP alone (RFC 6887), or UPnP (SSDP, a description, three SOAP
actions). Runs in the router's namespace; what is mapped becomes an nft rule there. Test code.

    fake_router.py pmp|pcp|upnp LAN_ADDRESS WAN_ADDRESS
"""
import re
import socket
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

KIND, LAN, WAN = sys.argv[1:4]
TYPE = "urn:schemas-upnp-org:service:WANIPConnection:1"


def nft(rule):
    subprocess.run(["nft", *rule.split()], check=True)


def forward(outer, host, inner):
    nft(f"add rule ip nat pre iifname wan tcp dport {outer} dnat to {host}:{inner}")
    print(f"mapped {outer} {host}:{inner}", flush=True)


def pmp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((LAN, 5351))
    while True:
        q, peer = s.recvfrom(64)
        if len(q) == 2 and q == b"\0\0":
            s.sendto(struct.pack(">BBHI4s", 0, 128, 0, 1, socket.inet_aton(WAN)), peer)
        elif len(q) == 12 and q[:2] == b"\0\2":
            inner, _, life = struct.unpack(">HHI", q[4:])
            outer = inner + 1 if inner < 65535 else inner - 1  # not the one that was asked for
            if life:
                forward(outer, peer[0], inner)
            else:
                print("unmapped", flush=True)
            s.sendto(struct.pack(">BBHIHHI", 0, 130, 0, 1, inner, outer, life), peer)


def pcp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((LAN, 5351))
    v4 = b"\0" * 10 + b"\xff\xff"
    while True:
        q, peer = s.recvfrom(1100)
        if q[0] != 2:
            s.sendto(struct.pack(">BBBBII", 2, 128 | q[1], 0, 1, 0, 1) + b"\0" * 12, peer)  # this version is not known here
            continue
        life, = struct.unpack(">I", q[4:8])
        inner, outer = struct.unpack(">HH", q[40:44])
        if len(q) != 60 or q[1] != 1 or q[36] != 6 or q[8:24] != v4 + socket.inet_aton(peer[0]):
            continue
        outer = inner + 1 if inner < 65535 else inner - 1
        if life:
            forward(outer, peer[0], inner)
        else:
            print("unmapped", flush=True)
        s.sendto(struct.pack(">BBBBII", 2, 129, 0, 0, life, 1) + b"\0" * 12 + q[24:36] + q[36:40] +
                 struct.pack(">HH", inner, outer) + v4 + socket.inet_aton(WAN), peer)


class Upnp(BaseHTTPRequestHandler):
    def reply(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):  # noqa: N802
        self.reply(f"""<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><serviceList><service>
<serviceType>urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1</serviceType>
<serviceId>urn:upnp-org:serviceId:WANCommonIFC1</serviceId><controlURL>/cif</controlURL><eventSubURL>/evt</eventSubURL>
<SCPDURL>/scpd</SCPDURL></service></serviceList><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><serviceList><service>
<serviceType>{TYPE}</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>
<controlURL>/ctl</controlURL><eventSubURL>/evt</eventSubURL><SCPDURL>/scpd</SCPDURL>
</service></serviceList></device></deviceList></device></deviceList></device></root>""")

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        action = self.headers["SOAPAction"].strip('"').rsplit("#", 1)[1]
        out = ""
        if action == "AddPortMapping":
            got = {k: v for k, v in re.findall(r"<(New\w+)>([^<]*)</", body)}
            forward(got["NewExternalPort"], got["NewInternalClient"], got["NewInternalPort"])
        elif action == "DeletePortMapping":
            print("unmapped", flush=True)
        elif action == "GetExternalIPAddress":
            out = f"<NewExternalIPAddress>{WAN}</NewExternalIPAddress>"
        elif action == "GetStatusInfo":
            out = "<NewConnectionStatus>Connected</NewConnectionStatus><NewLastConnectionError>ERROR_NONE</NewLastConnectionError><NewUptime>9</NewUptime>"
        self.reply(f"""<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>
<u:{action}Response xmlns:u="{TYPE}">{out}</u:{action}Response></s:Body></s:Envelope>""")

    def log_message(self, *args):
        pass


def upnp():
    web = HTTPServer((LAN, 5431), Upnp)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("239.255.255.250", 1900))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.255.255.250") + socket.inet_aton(LAN))
    while True:
        q, peer = s.recvfrom(2048)
        if not q.startswith(b"M-SEARCH"):
            continue
        wanted = re.search(rb"(?im)^ST: *(\S+)", q).group(1).decode()
        s.sendto(f"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: {wanted}\r\nUSN: uuid:1::{wanted}\r\nEXT:\r\n"
                 f"SERVER: fake\r\nLOCATION: http://{LAN}:5431/desc.xml\r\n\r\n".encode(), peer)


nft("add chain ip nat pre { type nat hook prerouting priority -100 ; }")
nft("insert rule ip filter through ct status dnat accept")
print("ready", flush=True)
{"pmp": pmp, "pcp": pcp, "upnp": upnp}[KIND]()
