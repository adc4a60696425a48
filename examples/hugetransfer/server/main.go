// Command server exports a depot that takes and gives content of any size, and keeps none.
package main

import (
	"context"
	"flag"
	"fmt"
	"hash/crc32"
	"iter"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/hugetransfer"
	"github.com/pyrossl/pyrossl/validator"
)

type Depot struct{ peak *hugetransfer.Peak }

// Put takes a stream. The sender waits for this loop: what it has not come to yet lies
// over there, but for 256 KiB.
func (Depot) Put(chunks iter.Seq2[[]byte, error]) (hugetransfer.Receipt, error) {
	var r hugetransfer.Receipt
	for chunk, err := range chunks {
		if err != nil {
			return r, err
		}
		r.Bytes += int64(len(chunk))
		r.Sum = crc32.Update(r.Sum, crc32.IEEETable, chunk)
	}
	return r, nil
}

// Get yields a stream, at the pace of whoever takes it.
func (Depot) Get(n int64) iter.Seq2[[]byte, error] { return hugetransfer.Content(n) }

// Small is a call to be made beside a transfer.
func (Depot) Small(text string) string { return text }

// Peak is the most memory that the server has had since it was started, in bytes.
func (d Depot) Peak() uint64 { return d.peak.Most() }

func main() {
	addr := flag.String("addr", "localhost:7766", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	mine, err := certs.Files(certs.FilesConfig{Cert: "pki/localhost.crt", Key: "pki/localhost.key", CA: "pki/ca.crt"})
	check(err)
	who, err := validator.New(validator.Config{Admit: []validator.Peer{validator.AnyIdentity()}})
	check(err)
	rules, err := validator.NewRules(validator.Rule{
		Name: "alice-may-move", Effect: validator.Allow, Identities: []string{"email:alice@bank.example"},
		Objects: []string{"depot"}, Methods: []string{"Put", "Get", "Small", "Peak"},
	})
	check(err)
	daemon, err := broker.NewDaemon(broker.Config{Addr: *addr, PublishHost: "localhost", Certs: mine, Validator: who, Authorizer: rules})
	check(err)
	uri, err := daemon.Register("depot", Depot{hugetransfer.Watch()})
	check(err)
	fmt.Println(uri)
	check(daemon.Serve(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
