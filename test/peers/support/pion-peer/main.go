// A client and a server on pion/dtls, for tests. Both send back what they get, and print a line of JSON about each
// handshake. The client says "ping" first, and ends once it is back.
//
//	pion-peer server -cert FILE -key FILE [-client-ca FILE] [-psk HEX] [-suites N,N] [-cid] [-mtu N]
//	pion-peer client -connect ADDR -ca FILE [-cert FILE -key FILE] [-psk HEX] [-suites N,N] [-cid] [-mtu N]
//	            [-wait]
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pion/dtls/v3"
)

// As in every test here: longer than any handshake on a busy machine.
const handshakeLimit = 12 * time.Second

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("say client or server"))
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	cert := flags.String("cert", "", "certificate, PEM")
	key := flags.String("key", "", "its key, PEM")
	ca := flags.String("ca", "", "whom the client trusts, PEM")
	clientCa := flags.String("client-ca", "", "whom the server trusts, PEM; asks for a certificate")
	psk := flags.String("psk", "", "pre-shared key, hexadecimal")
	suites := flags.String("suites", "", "cipher suites, numbers")
	cid := flags.Bool("cid", false, "a connection ID of eight bytes")
	mtu := flags.Int("mtu", 0, "bytes of a datagram")
	wait := flags.Bool("wait", false, "a line on standard input comes before the ping")
	connect := flags.String("connect", "", "where to connect to")
	flags.Parse(os.Args[2:])

	options := []dtls.Option{dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret)}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		fail(err)
		options = append(options, dtls.WithCertificates(pair))
	}
	if *psk != "" {
		secret, err := hex.DecodeString(*psk)
		fail(err)
		options = append(options,
			dtls.WithPSK(func([]byte) ([]byte, error) { return secret, nil }),
			dtls.WithPSKIdentityHint([]byte("device7")))
	}
	if ids := numbers(*suites); len(ids) > 0 {
		options = append(options, dtls.WithCipherSuites(ids...))
	}
	if *cid {
		options = append(options, dtls.WithConnectionIDGenerator(dtls.RandomCIDGenerator(8)))
	}
	if *mtu != 0 {
		options = append(options, dtls.WithMTU(*mtu))
	}
	if os.Args[1] == "server" {
		serve(options, *clientCa)
		return
	}
	client(options, *connect, *ca, *wait)
}

func serve(options []dtls.Option, clientCa string) {
	var all []dtls.ServerOption
	for _, option := range options {
		all = append(all, option)
	}
	if clientCa != "" {
		all = append(all, dtls.WithClientCAs(pool(clientCa)), dtls.WithClientAuth(dtls.RequireAndVerifyClientCert))
	}
	listener, err := dtls.ListenWithOptions("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, all...)
	fail(err)
	fmt.Printf("LISTEN %d\n", listener.Addr().(*net.UDPAddr).Port)
	for {
		transport, err := listener.Accept()
		fail(err)
		go func() {
			session := transport.(*dtls.Conn)
			defer session.Close()
			if err := handshake(session); err != nil {
				fmt.Printf("FAILED %v\n", err)
				return
			}
			report(session)
			buffer := make([]byte, 65536)
			for {
				size, err := session.Read(buffer)
				if err != nil {
					fmt.Printf("ENDED %v\n", err)
					return
				}
				fmt.Printf("GOT %d\n", size)
				if _, err := session.Write(buffer[:size]); err != nil {
					return
				}
			}
		}()
	}
}

func client(options []dtls.Option, address string, ca string, wait bool) {
	// An address is verified, and not sent: pion 3.1.15 drops a ServerHello with the empty server_name of RFC 6066 §3.
	all := []dtls.ClientOption{dtls.WithServerName("127.0.0.1")}
	for _, option := range options {
		all = append(all, option)
	}
	if ca != "" {
		all = append(all, dtls.WithRootCAs(pool(ca)))
	}
	remote, err := net.ResolveUDPAddr("udp4", address)
	fail(err)
	session, err := dtls.DialWithOptions("udp4", remote, all...)
	fail(err)
	defer session.Close()
	fail(handshake(session))
	report(session)
	if wait {
		_, err = bufio.NewReader(os.Stdin).ReadString('\n')
		fail(err)
	}
	fail(session.SetReadDeadline(time.Now().Add(handshakeLimit)))
	_, err = session.Write([]byte("ping"))
	fail(err)
	buffer := make([]byte, 65536)
	size, err := session.Read(buffer)
	fail(err)
	fmt.Printf("GOT %s\n", buffer[:size])
}

func handshake(session *dtls.Conn) error {
	limit, cancel := context.WithTimeout(context.Background(), handshakeLimit)
	defer cancel()
	return session.HandshakeContext(limit)
}

func report(session *dtls.Conn) {
	state, ok := session.ConnectionState()
	if !ok {
		fail(fmt.Errorf("no state"))
	}
	exported, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 60)
	fail(err)
	line, err := json.Marshal(map[string]any{
		"suite":    state.CipherSuiteID,
		"peer":     len(state.PeerCertificates),
		"identity": string(state.IdentityHint),
		"exported": hex.EncodeToString(exported),
	})
	fail(err)
	fmt.Printf("SESSION %s\n", line)
}

func numbers(list string) []dtls.CipherSuiteID {
	var ids []dtls.CipherSuiteID
	for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		number, err := strconv.ParseUint(text, 10, 16)
		fail(err)
		ids = append(ids, dtls.CipherSuiteID(number))
	}
	return ids
}

func pool(file string) *x509.CertPool {
	pem, err := os.ReadFile(file)
	fail(err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		fail(fmt.Errorf("%s has no certificate", file))
	}
	return pool
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAILED", err)
		os.Exit(1)
	}
}
