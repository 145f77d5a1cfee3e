// Record asks file servers every combination of preconditions of a fixed set, and prints what they answer, as the
// tables of this folder: `go run record.go nginx=http://127.0.0.1:8080/feed.txt >facts.tsv`. Go's own file server is
// always asked. The file has ten bytes or more, an ETag, and a Last-Modified that is a day old or older.
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"
)

// A server, and the validators of its file.
type server struct {
	name, url, tag string
	modified       time.Time
}

// What a field may be: by one letter, with C for the current tag, and a number for days after the current date.
var tags = []struct{ letter, value string }{
	{"-", ""}, {"c", "C"}, {"w", "W/C"}, {"o", `"other"`}, {"l", `"other", W/"x", C`}, {"*", "*"}, {"m", `"other`},
}
var dates = []struct{ letter, value string }{
	{"-", ""}, {"=", "0"}, {"<", "-1"}, {">", "1"}, {"m", "yesterday"},
}
var ranges = []string{"bytes=0-3", "bytes=5-", "bytes=-3", "bytes=999999-", "bytes=3-1", "bytes=x", "items=0-3"}

func main() {
	changed := time.Unix(784111777, 0)
	file := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"current"`)
		http.ServeContent(w, r, "feed.txt", changed, strings.NewReader("the news of today"))
	}
	local := httptest.NewServer(http.HandlerFunc(file))
	defer local.Close()
	servers := []server{{name: "go", url: local.URL}}
	for _, argument := range os.Args[1:] {
		name, url, _ := strings.Cut(argument, "=")
		servers = append(servers, server{name: name, url: url})
	}
	names := []string{"# if-match if-none-match if-modified-since if-unmodified-since"}
	for i := range servers {
		response := ask(&servers[i], nil)
		servers[i].tag = response.Header.Get("ETag")
		servers[i].modified, _ = http.ParseTime(response.Header.Get("Last-Modified"))
		names = append(names, servers[i].name)
	}
	fmt.Println(strings.Join(names, "\t"))
	for _, match := range tags {
		for _, noneMatch := range tags {
			for _, modified := range dates {
				for _, unmodified := range dates {
					line := []string{match.letter + noneMatch.letter + modified.letter + unmodified.letter}
					for i := range servers {
						s := &servers[i]
						line = append(line, fmt.Sprint(ask(s, map[string]string{
							"If-Match":            s.etag(match.value),
							"If-None-Match":       s.etag(noneMatch.value),
							"If-Modified-Since":   s.date(modified.value),
							"If-Unmodified-Since": s.date(unmodified.value),
						}).StatusCode))
					}
					fmt.Println(strings.Join(line, "\t"))
				}
			}
		}
	}
	fmt.Println("# if-range range")
	for i := 0; i < len(tags)+len(dates)-1; i++ {
		for _, part := range ranges {
			line := []string{}
			for j := range servers {
				s := &servers[j]
				letter, value := "d", ""
				if i < len(tags) {
					letter, value = tags[i].letter, s.etag(tags[i].value)
				} else {
					date := dates[i-len(tags)+1]
					letter, value = "d"+date.letter, s.date(date.value)
				}
				if j == 0 {
					line = append(line, letter+" "+part)
				}
				line = append(line, fmt.Sprint(ask(s, map[string]string{"Range": part, "If-Range": value}).StatusCode))
			}
			fmt.Println(strings.Join(line, "\t"))
		}
	}
}

func (s *server) etag(value string) string {
	return strings.ReplaceAll(value, "C", s.tag)
}

func (s *server) date(value string) string {
	var days int
	if _, err := fmt.Sscan(value, &days); err != nil {
		return value
	}
	return s.modified.AddDate(0, 0, days).UTC().Format(http.TimeFormat)
}

func ask(s *server, fields map[string]string) *http.Response {
	request, err := http.NewRequest("GET", s.url, nil)
	if err != nil {
		panic(err)
	}
	for name, value := range fields {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	response.Body.Close()
	return response
}
