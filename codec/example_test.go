package codec_test

import (
	"fmt"
	"reflect"

	"github.com/pyrossl/pyrossl/codec"
)

type Account struct {
	Owner   string `cbor:"owner"`
	Balance int64  `cbor:"balance"`
}

func Example() {
	data, err := codec.Marshal(Account{Owner: "alice", Balance: 100})
	if err != nil {
		fmt.Println(err)
		return
	}
	var a Account
	if err := codec.Unmarshal(data, &a); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d bytes: %+v\n", len(data), a)
	// Output: 23 bytes: {Owner:alice Balance:100}
}

func ExampleUnmarshal_refused() {
	// {"owner": "alice", "balnce": 100}
	data := []byte("\xa2\x65owner\x65alice\x66balnce\x18\x64")
	fmt.Println(codec.Unmarshal(data, new(Account)))
	// Output: codec: unknown field "balnce" in codec_test.Account, want one of owner, balance at offset 13 in ["balnce"]
}

func ExampleSequence() {
	var data []byte
	for _, argument := range []any{"alice", 100, []string{"gift"}} {
		var err error
		if data, err = codec.Append(data, argument); err != nil {
			fmt.Println(err)
			return
		}
	}
	seq, err := codec.NewSequence(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	var name string
	var amount uint16
	var notes []int
	fmt.Println(seq.Len(), seq.Next(&name), seq.Next(&amount), name, amount)
	fmt.Println(seq.Next(&notes))
	// Output:
	// 3 <nil> <nil> alice 100
	// codec: a text string where int was declared at offset 9 in [2][0]
}

func ExampleDiagnostic() {
	text, err := codec.Diagnostic([]byte("\x82\x01\xa1\x61a\x18\x07"))
	fmt.Println(text)
	fmt.Println(err)
	// Output:
	// [1, {"a": 7_0}]
	// codec: the head of an integer takes 2 bytes for 7, want the shortest form at offset 5 in [1]["a"]
}

func ExampleCheckType() {
	type Job struct {
		Name string
		Done chan bool
	}
	fmt.Println(codec.CheckType(reflect.TypeFor[Job]()))
	// Output: codec: codec_test.Job.Done: chan bool cannot be carried: a chan has no meaning in another process
}
