; What is run if no file is named. Tests run it too, and look at what it prints; some on a smaller board.

; ---- Queens: in how many ways they fit on a board.
(define safe? (lambda (queen placed distance)
  (if (null? placed) #t
    (let ((other (car placed)))
      (if (= other queen) #f
        (if (= other (+ queen distance)) #f
          (if (= other (- queen distance)) #f
            (safe? queen (cdr placed) (+ distance 1)))))))))

(define place (lambda (size column placed)
  (define rows (lambda (queen count)
    (if (= queen size) count
      (rows (+ queen 1)
        (if (safe? queen placed 1)
          (+ count (place size (+ column 1) (cons queen placed)))
          count)))))
  (if (= column size) 1 (rows 0 0))))

(define size 8)
(print (cons (quote queens) (place size 0 ())))

; ---- Lists: a merge sort of numbers that look random.
(define numbers (lambda (count seed)
  (if (= count 0) ()
    (cons seed (numbers (- count 1) (remainder (+ (* seed 137) 29) 256))))))

(define merge (lambda (a b)
  (if (null? a) b
    (if (null? b) a
      (if (< (car b) (car a))
        (cons (car b) (merge a (cdr b)))
        (cons (car a) (merge (cdr a) b)))))))

(define split (lambda (list left right)
  (if (null? list) (cons left right)
    (split (cdr list) right (cons (car list) left)))))

(define sort (lambda (list)
  (if (null? list) list
    (if (null? (cdr list)) list
      (let ((halves (split list () ())))
        (merge (sort (car halves)) (sort (cdr halves))))))))

(print (sort (numbers 12 7)))

; ---- Streams: lists whose rest is a procedure; the primes, by Eratosthenes.
(define from (lambda (number) (cons number (lambda () (from (+ number 1))))))

(define filter (lambda (keep? stream)
  (if (keep? (car stream))
    (cons (car stream) (lambda () (filter keep? ((cdr stream)))))
    (filter keep? ((cdr stream))))))

(define sieve (lambda (stream)
  (let ((prime (car stream)))
    (cons prime
      (lambda ()
        (sieve (filter (lambda (number) (if (= (remainder number prime) 0) #f #t)) ((cdr stream)))))))))

(define take (lambda (count stream)
  (if (= count 0) ()
    (cons (car stream) (if (= count 1) () (take (- count 1) ((cdr stream))))))))

(print (take 10 (sieve (from 2))))

; ---- Closures with a state of their own.
(define counter (lambda ()
  (define count 0)
  (lambda () (set! count (+ count 1)))))

(define tick (counter))
(begin (tick) (tick))
(print (cons (quote ticks) (tick)))

; ---- Two threads: one sends lists, the other adds them up.
(define wire (channel))

(define sum (lambda (list) (if (null? list) 0 (+ (car list) (sum (cdr list))))))

(define produce (lambda (rounds)
  (if (= rounds 0) (send wire #f)
    (begin
      (send wire (numbers 10 rounds))
      (produce (- rounds 1))))))

(define consume (lambda (total)
  (let ((list (receive wire)))
    (if (pair? list) (consume (+ total (sum list))) total))))

(define consumer (spawn (lambda () (consume 0))))
(produce 40)
(print (cons (quote consumed) (receive consumer)))
