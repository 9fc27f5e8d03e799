<!-- MyST fetches this beside the pages; the sitemap needs no style -->
