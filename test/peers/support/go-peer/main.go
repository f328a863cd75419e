// A client and a server on Go's crypto/tls, for tests. Both send back what they get, and print a line of JSON about
// each handshake.
//
//	go-peer server -cert FILE -key FILE [-curves N,N] [-client-ca FILE]
//	go-peer client -connect ADDR -ca FILE [-curves N,N] [-cert FILE -key FILE] [-times N]
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("say client or server"))
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	cert := flags.String("cert", "", "certificate, PEM")
	key := flags.String("key", "", "its key, PEM")
	ca := flags.String("ca", "", "whom the client trusts, PEM")
	clientCa := flags.String("client-ca", "", "whom the server trusts, PEM; asks for a certificate")
	curves := flags.String("curves", "", "key exchange groups, numbers")
	connect := flags.String("connect", "", "where to connect to")
	times := flags.Int("times", 1, "sessions, one after the other, resumed where possible")
	flags.Parse(os.Args[2:])

	config := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: "localhost"}
	for _, number := range strings.FieldsFunc(*curves, func(r rune) bool { return r == ',' }) {
		id, err := strconv.Atoi(number)
		fail(err)
		config.CurvePreferences = append(config.CurvePreferences, tls.CurveID(id))
	}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		fail(err)
		config.Certificates = []tls.Certificate{pair}
	}
	if os.Args[1] == "server" {
		if *clientCa != "" {
			config.ClientCAs = pool(*clientCa)
			config.ClientAuth = tls.RequireAndVerifyClientCert
		}
		serve(config)
		return
	}
	config.RootCAs = pool(*ca)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	for i := 0; i < *times; i++ {
		client(config, *connect)
	}
}

func serve(config *tls.Config) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	fmt.Printf("LISTEN %d\n", listener.Addr().(*net.TCPAddr).Port)
	for {
		transport, err := listener.Accept()
		fail(err)
		go func() {
			session := tls.Server(transport, config)
			defer session.Close()
			if err := session.Handshake(); err != nil {
				fmt.Printf("FAILED %v\n", err)
				return
			}
			report(session)
			io.Copy(session, session)
		}()
	}
}

func client(config *tls.Config, address string) {
	session, err := tls.Dial("tcp", address, config)
	fail(err)
	defer session.Close()
	report(session)
	fmt.Fprintf(session, "ping\n")
	line, err := bufio.NewReader(session).ReadString('\n')
	fail(err)
	fmt.Printf("GOT %s", line)
}

func report(session *tls.Conn) {
	state := session.ConnectionState()
	line, err := json.Marshal(map[string]any{
		"version": state.Version,
		"suite":   tls.CipherSuiteName(state.CipherSuite),
		"curve":   state.CurveID,
		"resumed": state.DidResume,
		"peer":    len(state.PeerCertificates),
	})
	fail(err)
	fmt.Printf("SESSION %s\n", line)
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
