"""Indoor topics: the agents, places, things and deeds of each.

The notation (parsed by lexicon.py):
  agents GENERAL | ...                       people or animals of the topic; GENERAL is their hypernym
  places | ...                               where the deeds happen
  things CLASS KIND GENERAL=GENERAL | ...    what the deeds are done to; KIND chooses the adjectives that fit
  deeds CLASS | ...                          verbs that take the things of CLASS ("-" takes none)
  a=b are words for one concept, a <> b are opposites, x~ cannot be counted.
"""

INDOORS = """
topic kitchen
agents person | chef=cook, baker=pastry maker, waiter=server, hostess
places | in the kitchen, in the restaurant=in the diner, at the bakery, in the cafeteria=in the canteen
things meal food meal=dish | stew=casserole, soup=broth, pizza, sandwich=burger, pie=tart, salad, pancake
things produce food vegetable | potato, carrot, onion, tomato, cabbage, pepper, pumpkin=squash
deeds meal | cook=prepare, serve=dish up, taste=sample, eat=consume=devour, burn, order=ask for
deeds produce | chop=cut up=dice, peel, wash=rinse, boil, fry, slice=carve

topic music
agents musician | violinist, drummer, pianist, guitarist, singer=vocalist, conductor
places | on the stage=on a platform, in the concert hall=in the auditorium, in the studio, at the festival
things instrument solid instrument | violin=fiddle, guitar, piano=keyboard, trumpet=horn, flute, drum, cello
things tune text melody=piece of music | song=tune, hymn, ballad, march
deeds instrument | play, tune=adjust, practice, carry=haul, repair=fix=mend
deeds tune | sing=perform, compose=write, record=tape, hum=murmur, listen to=hear

topic art
agents artist | painter, sculptor, photographer=cameraman, illustrator, potter
places | in the gallery=in the art museum, in the workshop, at the exhibition=at the art show, in the attic=in the loft
things picture solid picture=image | portrait=likeness, landscape, poster, sketch=drawing, mural=wall painting
things statue solid figure | statue=sculpture, vase, mask, bust, pot=jar
deeds picture | paint=depict, frame, hang up <> take down=remove, admire=marvel at, copy=reproduce, sell <> buy=purchase
deeds statue | carve=shape, polish=shine, break=smash <> restore=repair, examine=inspect, dust

topic office
agents worker | manager=boss, secretary=clerk, accountant, engineer, lawyer=attorney, programmer=software developer
places | in the office, in the meeting room=in the conference room, at the desk, in the headquarters, in the bank
things paper text document=paper | letter=note, contract=agreement, report=account, invoice=bill, form, memo=notice
things device solid device=machine | computer=laptop, printer, phone=telephone, screen=monitor, camera, scanner
deeds paper | sign, read=study, write=draft, send=mail <> receive, copy, shred=tear up, file
deeds device | turn on=switch on <> turn off=switch off, repair=fix, use=operate, test=try out, replace=swap

topic school
agents person | teacher=instructor, student=pupil, professor=lecturer, librarian, principal=headmaster
places | in the classroom, in the library, at the university=at the college, in the laboratory=in the lab, in the hallway=in the corridor
things book text book=publication | novel=story, dictionary, textbook, poem=verse, comic, magazine=journal
things lesson text lesson | essay=paper, exam=test, puzzle=riddle, equation=formula, exercise=task
deeds book | read=look through, borrow <> return=give back, open <> close=shut, recite=quote from, recommend=suggest, publish
deeds lesson | explain=clarify, solve=work out, grade=mark, finish=complete <> start=begin, discuss=talk about

topic hospital
agents person | doctor=physician, nurse, surgeon, dentist, patient=sick person, pharmacist
places | in the hospital=in the clinic, in the emergency room, at the pharmacy=at the drugstore, in the ambulance
things injury part body part | arm=limb, knee, shoulder, wrist, tooth, wound=injury
things remedy solid medicine | pill=tablet, bandage=dressing, needle, ointment=cream, vaccine
deeds injury | examine=check, treat=heal, bandage=wrap up, wash=clean, x-ray=scan
deeds remedy | prescribe=recommend, swallow=take, apply=put on, order=request, throw away=discard <> keep=store

topic home
agents person | cleaner=janitor=housekeeper, mother=mom, father=dad, grandmother=granny, tenant, plumber
places | in the living room=in the lounge, in the bedroom, in the bathroom, in the basement=in the cellar, in the garage
things furniture solid piece of furniture | sofa=couch, chair=seat, table, bed, carpet=rug, lamp=light, wardrobe=closet, mirror
things textile solid cloth=fabric | curtain=drape, blanket=quilt, towel, pillow=cushion, tablecloth, shirt
deeds furniture | clean=wipe, move=shift, sell <> buy=purchase, repair=fix, assemble=put together <> take apart=dismantle
deeds textile | wash, fold <> unfold=spread out, iron=press, tear=rip <> sew=stitch, hang up

topic clothes
agents person | tailor, model, shopkeeper, customer=shopper, designer, bride
places | in the shop=in the store, at the mall=at the shopping center, in the fitting room, in the factory=in the plant, at the market
things garment solid garment=piece of clothing | coat=jacket, dress=gown, hat=cap, scarf, sweater=pullover, skirt, suit,
  uniform=outfit
things jewel solid piece of jewelry | ring, necklace=pendant, bracelet, watch, crown=tiara
deeds garment | sew=stitch, put on <> take off=remove, wear, buy=purchase <> sell, choose=select=pick, dye=color, try on
deeds jewel | wear, steal=snatch, polish=shine, find=discover <> lose=misplace, wrap=pack up <> unwrap=unpack, admire

topic theater
agents performer | actor, dancer=ballerina, clown, magician, comedian=comic, acrobat
places | in the theater=in the playhouse, in the circus tent, behind the curtain=backstage, in the ballroom, at the party=at the celebration
things show text show=performance | play=drama, joke=gag, trick=stunt, speech=address, scene
deeds show | perform=present, rehearse=practice, watch=view, film=shoot, applaud=cheer, interrupt=disrupt, forget <> remember=recall
deeds - | dance=waltz, bow, laugh=giggle=chuckle <> cry=weep=sob, yawn, sing, juggle, whisper <> shout=yell=scream

topic court
agents person | judge, policeman=police officer=cop, detective=investigator, guard, thief=robber=burglar, witness
places | in the courtroom=in the courthouse, at the police station, in the prison=in the jail, at the scene of the crime
things evidence solid piece of evidence | weapon=gun, key, knife=blade, fingerprint, bag=purse, wallet
things law text ruling | law, verdict=judgment, fine=penalty, warning, confession
deeds evidence | find=discover, hide=conceal <> reveal=show, seize, steal <> return=give back, drop, examine=inspect
deeds law | announce=declare, ignore=disregard <> obey=follow, dispute=challenge <> accept=approve, write down
"""
