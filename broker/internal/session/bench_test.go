package session

import (
	"fmt"
	"io"
	"testing"
)

// The yardstick of every figure here: the same bytes back and forth over
// crypto/tls alone, one write and one read each way.
func BenchmarkRawTLS(b *testing.B) {
	for _, size := range []int{64, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c, s, _, _ := tlsPair(b)
			go io.Copy(s, s)
			defer s.NetConn().Close()
			defer c.NetConn().Close()
			out, in := make([]byte, size), make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				go c.Write(out)
				if _, err := io.ReadFull(c, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCall(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			p := newPair(b, echo, testLimits)
			r := request(b, "echo", make([]byte, size))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				resp, err := p.client.Call(background, r)
				if err != nil {
					b.Fatal(err)
				}
				resp.Release()
			}
		})
	}
	for _, callers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			p := newPair(b, echo, testLimits)
			r := request(b, "echo", make([]byte, 64))
			b.SetParallelism(max(1, callers/2))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					resp, err := p.client.Call(background, r)
					if err != nil {
						b.Error(err)
						return
					}
					resp.Release()
				}
			})
		})
	}
}
