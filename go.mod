module github.com/holdfast-mesh/holdfast

go 1.26.0
